"""PV systems that InvControls steer: volt-var and volt-watt, with all their settings, as plain figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.element_names import as_word, named
from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.elements import elements
from g2g_opt.circuit.opendss_circuit import Circuit

_Asked = Callable[[str], str]
# What a control looks at where it does not name a phase.
_MEASURES = {"min": -3, "max": -2, "avg": -1}
_PANEL, _EFFICIENCY = "PanelkW", "Efficiency"


@dataclass(frozen=True)
class Curve:
    """Points of an XYCurve, between which OpenDSS interpolates, and beyond which it goes on in a straight line."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class InverterSettings:
    """One PV system under an InvControl that steers its vars by `volt_var`, its watts by `volt_watt`, or both.

    It looks at its own `n_phases` conductors (`measure`: a phase, or -1 average, -2 highest, -3 lowest) over `base_v`
    (V). Powers in kW, kvar and kVA: `panel_kw` is what its panels give behind the inverter's efficiency, `watts_max_kw`
    what it may give of that, `watts_base_kw` what a volt-watt curve's shares are of (None: what the panels give now);
    `kvar_per_kw` is what vars are of watts as long as no volt-var curve has set them (None: they are `kvar_told`, as
    far as the rating has room for them). A factor of -1 adapts by itself. `unlike` says what of its settings is not
    modelled in lockstep, "" if all is.
    """

    control: str
    element: str
    volt_var: Curve | None
    volt_watt: Curve | None
    n_phases: int
    base_v: float
    measure: int
    kva: float
    panel_kw: float
    watts_max_kw: float
    watts_base_kw: float | None
    kvar_max: float
    kvar_max_absorbed: float
    kvar_per_kw: float | None
    kvar_told: float
    watts_first: bool
    vars_of_rating: bool
    delta_q: float
    delta_p: float
    voltage_tolerance_pu: float
    var_tolerance_pu: float
    watt_tolerance_pu: float
    unlike: str

    @property
    def available_kw(self) -> float:
        """Watts that nothing holds back."""
        return min(self.panel_kw, self.watts_max_kw)


def read_inverters(circuit: Circuit) -> tuple[InverterSettings, ...]:
    """The PV systems and storage under InvControls in service that do something, control by control in OpenDSS's
    order.
    """
    names = [(kind, name) for kind, name in elements(circuit) if circuit.ask("CktElement_Get_Enabled")]
    of_all = [f"{k}.{n}" for k, n in names if k == "pvsystem"] + [f"{k}.{n}" for k, n in names if k == "storage"]
    enabled, found = set(of_all), []
    for kind, name in names:
        if kind == "invcontrol" and not is_without_mode(circuit, name):
            own = ElementProperties(circuit, f"InvControl.{name}").names("derlist")
            found += [_settings(circuit, name, element) for element in own or of_all if element in enabled]
    return tuple(found)


def is_without_mode(circuit: Circuit, control: str) -> bool:
    """Whether an InvControl has neither a mode nor a combined one: OpenDSS then lets it do nothing."""
    return not any(circuit.ask_property(f"InvControl.{control}.{prop}").strip() for prop in ("mode", "combimode"))


def panel_kw(circuit: Circuit, element: str) -> float:
    """What the panels of a PV system give behind its inverter's efficiency (kW); 0 where the inverter is off."""
    circuit.ask("PVSystems_Set_Name", element.partition(".")[2].encode())
    if circuit.ask("PVSystems_Get_kW") <= 0.0:
        return 0.0
    circuit.activate(element)
    names = circuit.ask_array("CktElement_Get_AllVariableNames", "char*")
    values = dict(zip(names, circuit.ask_array("CktElement_Get_AllVariableValues", "double"), strict=True))
    return float(values[_PANEL] * values[_EFFICIENCY])


def panel_series_kw(circuit: Circuit, element: str, irradiances: Sequence[float]) -> NDArray[np.float64]:
    """`panel_kw` at some irradiances, at the last of which the circuit is left."""
    found = []
    for irradiance in irradiances:
        # An edit makes OpenDSS work out what the inverter gives, as a solution would.
        circuit.command(f"Edit {as_word(element)} irradiance={irradiance:.12g}")
        found.append(panel_kw(circuit, element))
    return np.array(found)


def _settings(circuit: Circuit, control: str, element: str) -> InverterSettings:
    def of_control(prop: str) -> str:
        return circuit.ask_property(f"InvControl.{control}.{prop}").strip().lower()

    def of_unit(prop: str) -> str:
        return circuit.ask_property(f"{element}.{prop}").strip().lower()

    def curve(prop: str, modes: tuple[str, ...]) -> Curve | None:
        name = named(of_control(prop))
        return _curve(circuit, name) if name and mode in modes else None

    is_pv = element.startswith("pvsystem.")
    mode = of_control("combimode") or of_control("mode")
    n_phases, kv = int(of_unit("phases")), float(of_unit("kv"))
    measure = of_control("monvoltagecalc")
    volt_var = curve("vvc_curve1", ("voltvar", "vv_vw"))
    panel = panel_kw(circuit, element) if is_pv else 0.0
    rated = float(of_unit("pmpp")) if is_pv else 0.0
    watts_max = rated * float(of_unit("%pmpp")) / 100.0 if is_pv else 0.0
    kva, kvar_max = float(of_unit("kva")), float(of_unit("kvarmax"))
    bases = {"pavailablepu": None, "pmpppu": rated, "pctpmpppu": watts_max, "kvaratingpu": kva}
    follows = _kvar_per_kw(circuit, element) if is_pv else None
    cut = _cut_vars(follows, min(panel, watts_max), kvar_max) if volt_var is None else ""
    return InverterSettings(
        control=control,
        element=element,
        volt_var=volt_var,
        volt_watt=curve("voltwatt_curve", ("voltwatt", "vv_vw")),
        n_phases=n_phases,
        base_v=1e3 * kv / (3.0**0.5 if n_phases in (2, 3) else 1.0),
        measure=_MEASURES[measure] if measure in _MEASURES else int(measure or -1),
        kva=kva,
        panel_kw=panel,
        watts_max_kw=watts_max,
        watts_base_kw=bases[of_control("voltwattyaxis")],
        kvar_max=kvar_max,
        kvar_max_absorbed=float(of_unit("kvarmaxabs")),
        kvar_per_kw=follows,
        kvar_told=_kvar_told(circuit, element),
        watts_first=of_unit("wattpriority") in ("yes", "true"),
        vars_of_rating=of_control("refreactivepower").startswith("varmax"),
        delta_q=float(of_control("deltaq_factor")),
        delta_p=float(of_control("deltap_factor")),
        voltage_tolerance_pu=float(of_control("voltagechangetolerance")),
        var_tolerance_pu=float(of_control("varchangetolerance")),
        watt_tolerance_pu=float(of_control("activepchangetolerance")),
        unlike=_unlike(of_control, of_unit, is_pv) or cut,
    )


def _unlike(of_control: _Asked, of_unit: _Asked, is_pv: bool) -> str:
    """What sets an inverter or its control apart from those that act in lockstep."""
    if not is_pv:
        return "steers storage"
    mode, combined = of_control("mode"), of_control("combimode")
    if mode and combined:
        return f"has both a mode ({mode}) and a combined one ({combined}), with which OpenDSS's does not come to rest"
    mode = mode or combined
    if mode not in ("voltvar", "voltwatt", "vv_vw"):
        return f"is of mode {mode}"
    if mode in ("voltvar", "vv_vw") and not of_control("vvc_curve1"):
        return "has no volt-var curve"
    if mode in ("voltwatt", "vv_vw") and not of_control("voltwatt_curve"):
        return "has no volt-watt curve"
    if float(of_control("hysteresis_offset")) != 0.0:
        return "has a hysteresis, whose way at rest hangs on the rounding of voltages"
    if of_control("voltage_curvex_ref") != "rated":
        return "looks at a rolling average"
    if of_control("rateofchangemode") != "inactive":
        return "limits the rate of change"
    if of_control("monbus"):
        return "looks at another bus"
    if of_control("controlmodel") not in ("0", "linear"):
        return "has a control model of its own"
    if of_unit("varfollowinverter") in ("yes", "true") or of_unit("pfpriority") in ("yes", "true"):
        return "steers an inverter whose vars follow its watts"
    if float(of_unit("%pminnovars")) > 0.0 or float(of_unit("%pminkvarmax")) > 0.0:
        return "steers an inverter without vars at low power"
    return ""


def _cut_vars(kvar_per_kw: float | None, kw: float, kvar_max: float) -> str:
    """OpenDSS changes the power factor of an inverter whose limit cuts the vars that it asks for."""
    if kvar_per_kw is not None and abs(kvar_per_kw) * kw > kvar_max:
        return "steers the watts of an inverter whose vars its limit cuts"
    return ""


def _kvar_per_kw(circuit: Circuit, element: str) -> float | None:
    """Vars per watt of a PV system that holds a power factor; None of one that holds its vars."""
    circuit.activate(element)
    stated = [prop for prop in circuit.stated_properties() if prop in ("pf", "kvar")]
    if stated and stated[-1] == "kvar":
        return None
    factor = float(circuit.ask_property(f"{element}.pf"))
    return float(np.sqrt(1.0 / factor**2 - 1.0) * np.sign(factor))


def _kvar_told(circuit: Circuit, element: str) -> float:
    """Vars that an inverter is told to give (kvar), also where its watts leave no room for them at present."""
    own = ElementProperties(circuit, element)
    if not own.yes("wattpriority"):
        return own.number("kvar")
    # OpenDSS answers with what it gives: with the vars first that is what it was told.
    circuit.command(f"Edit {as_word(element)} wattpriority=no")
    told = own.number("kvar")
    circuit.command(f"Edit {as_word(element)} wattpriority=yes")
    return told


def _curve(circuit: Circuit, name: str) -> Curve:
    own = ElementProperties(circuit, f"XYCurve.{name}")
    x, y = (tuple(float(part) for part in own.row(axis)) for axis in ("xarray", "yarray"))
    return Curve(name, x, y)
