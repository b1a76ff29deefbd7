"""PV systems that InvControls steer: volt-var and volt-watt, with all their settings, as plain figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from g2g_opt.circuit.elements import elements
from g2g_opt.circuit.opendss_circuit import Circuit

_Asked = Callable[[str], str]
# What a control looks at where it does not name a phase.
_MEASURES = {"min": -3, "max": -2, "avg": -1}


@dataclass(frozen=True)
class Curve:
    """Points of an XYCurve, between which OpenDSS interpolates, and beyond which it goes on in a straight line."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class InverterSettings:
    """One PV system under an InvControl of `mode` "voltvar", "voltwatt" or "" (with `combined` "vv_vw", or another).

    It looks at its own `n_phases` conductors (`measure`: a phase, or -1 average, -2 highest, -3 lowest) over `base_v`
    (V). Powers in kW (`available_kw` without vars), kvar and kVA; a factor of -1 adapts by itself. `unlike` says what
    of its settings is not modelled in lockstep, "" if all is.
    """

    control: str
    element: str
    mode: str
    combined: str
    volt_var: Curve | None
    n_phases: int
    base_v: float
    measure: int
    kva: float
    available_kw: float
    kvar_max: float
    kvar_max_absorbed: float
    watts_first: bool
    vars_of_rating: bool
    delta_q: float
    voltage_tolerance_pu: float
    var_tolerance_pu: float
    unlike: str


def read_inverters(circuit: Circuit, measured: bool = False) -> tuple[InverterSettings, ...]:
    """The PV systems and storage under InvControls in service, control by control in OpenDSS's order.

    With `measured` their `available_kw` is what OpenDSS makes of irradiance and efficiency; the circuit is then left
    without their vars.
    """
    names = [(kind, name) for kind, name in elements(circuit) if circuit.ask("CktElement_Get_Enabled")]
    found = []
    for kind, name in names:
        if kind != "invcontrol":
            continue
        own = circuit.command(f"? InvControl.{name}.derlist").strip("[] ").replace(",", " ").lower().split()
        of_all = [f"{k}.{n}" for k, n in names if k == "pvsystem"] + [f"{k}.{n}" for k, n in names if k == "storage"]
        enabled = set(of_all)
        found += [_settings(circuit, name, element, measured) for element in own or of_all if element in enabled]
    return tuple(found)


def _settings(circuit: Circuit, control: str, element: str, measured: bool) -> InverterSettings:
    def of_control(prop: str) -> str:
        return circuit.command(f"? InvControl.{control}.{prop}").strip().lower()

    def of_unit(prop: str) -> str:
        return circuit.command(f"? {element}.{prop}").strip().lower()

    is_pv = element.startswith("pvsystem.")
    n_phases, kv = int(of_unit("phases")), float(of_unit("kv"))
    curve = of_control("vvc_curve1").rpartition(".")[2]
    measure = of_control("monvoltagecalc")
    return InverterSettings(
        control=control,
        element=element,
        mode=of_control("mode") if not of_control("combimode") else "",
        combined=of_control("combimode"),
        volt_var=_curve(circuit, curve) if curve else None,
        n_phases=n_phases,
        base_v=1e3 * kv / (3.0**0.5 if n_phases in (2, 3) else 1.0),
        measure=_MEASURES[measure] if measure in _MEASURES else int(measure or -1),
        kva=float(of_unit("kva")),
        available_kw=_available_kw(circuit, element) if measured and is_pv else 0.0,
        kvar_max=float(of_unit("kvarmax")),
        kvar_max_absorbed=float(of_unit("kvarmaxabs")),
        watts_first=of_unit("wattpriority") in ("yes", "true"),
        vars_of_rating=of_control("refreactivepower").startswith("varmax"),
        delta_q=float(of_control("deltaq_factor")),
        voltage_tolerance_pu=float(of_control("voltagechangetolerance")),
        var_tolerance_pu=float(of_control("varchangetolerance")),
        unlike=_unlike(of_control, of_unit, is_pv),
    )


def _unlike(of_control: _Asked, of_unit: _Asked, is_pv: bool) -> str:
    """What sets an inverter or its control apart from those that act in lockstep."""
    if not is_pv:
        return "steers storage"
    if of_control("combimode") or of_control("mode") != "voltvar":
        return f"is of mode {of_control('combimode') or of_control('mode')}"
    if not of_control("vvc_curve1"):
        return "has no volt-var curve"
    if float(of_control("hysteresis_offset")) != 0.0:
        return "has a hysteresis"
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


def _available_kw(circuit: Circuit, element: str) -> float:
    """What a PV system gives without vars (kW)."""
    circuit.command(f"Edit {element} kvar=0")
    circuit.ask("PVSystems_Set_Name", element.partition(".")[2].encode())
    return float(circuit.ask("PVSystems_Get_kW"))


def _curve(circuit: Circuit, name: str) -> Curve:
    def row(prop: str) -> tuple[float, ...]:
        text = circuit.command(f"? XYCurve.{name}.{prop}")
        return tuple(float(part) for part in text.strip("[] ").replace(",", " ").split())

    return Curve(name, row("xarray"), row("yarray"))
