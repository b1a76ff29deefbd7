"""The controls of a compiled circuit that move taps and capacitor banks, with all their settings, as plain figures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.breakers import BreakerSettings, read_breakers
from g2g_opt.circuit.element_names import named
from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.elements import elements
from g2g_opt.circuit.fuses import FuseSettings, read_fuses
from g2g_opt.circuit.inverters import InverterSettings, read_inverters
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.own_storage import StorageSettings, read_storages

CapKind = Literal["current", "voltage", "kvar", "time", "pf", "other"]
_CAP_KINDS: dict[str, CapKind] = {
    "current": "current",
    "voltage": "voltage",
    "kvar": "kvar",
    "time": "time",
    "pf": "pf",
    "powerfactor": "pf",
}


@dataclass(frozen=True)
class RegControlSettings:
    """One RegControl in service, in OpenDSS's units: voltages on the PT's secondary (V), delays (s).

    It looks at `winding` of `transformer` (`n_phases`, `is_delta`, `base_v` across a phase of the winding) or at the
    node of `bus`, and moves `tap_winding` in steps of `tap_step_pu`. `next_phase` is added to a phase's number for the
    other end of a delta winding's phase. `reverse_power_w` is the threshold of reverse power flow.
    """

    name: str
    kind: str
    transformer: str
    winding: int
    tap_winding: int
    n_phases: int
    is_delta: bool
    next_phase: int
    base_v: float
    tap_min_pu: float
    tap_max_pu: float
    tap_step_pu: float
    vreg: float
    band: float
    pt_ratio: float
    remote_pt_ratio: float
    ct_prim: float
    r: float
    x: float
    z: float
    bus: str
    delay_s: float
    tap_delay_s: float
    max_tap_change: int
    inverse_time: bool
    v_limit: float
    pt_phase: int
    reversible: bool
    reverse_vreg: float
    reverse_band: float
    reverse_r: float
    reverse_x: float
    reverse_z: float
    reverse_power_w: float
    reverse_delay_s: float
    reverse_neutral: bool
    cogeneration: bool

    @property
    def compensates_line_drop(self) -> bool:
        """Whether a current changes what it holds."""
        return not self.bus and (self.r != 0.0 or self.x != 0.0 or self.z > 0.0)

    @property
    def watches_power(self) -> bool:
        """Whether the direction of power changes what it does."""
        return not self.bus and (self.reversible or self.cogeneration)


@dataclass(frozen=True)
class CapControlSettings:
    """One CapControl in service: what switches `capacitor` on and off, in OpenDSS's units.

    `on` and `off` are V or A on the secondary side, kvar, hours of the day, or power factors (1 to 2: leading).
    `n_phases` and `is_delta` are the bank's, `n_steps` how many steps it has, `bank_kvar` its size. `is_closed` and
    `in_service` tell whether its terminal is closed and its step switched in where a run begins. `element_phases` and
    `element_terminals` are those of the `element` (kind.name) it looks at.
    """

    name: str
    capacitor: str
    n_phases: int
    is_delta: bool
    n_steps: int
    bank_kvar: float
    is_closed: bool
    in_service: bool
    element: str
    element_phases: int
    element_terminals: int
    terminal: int
    kind: CapKind
    on: float
    off: float
    pt_ratio: float
    ct_ratio: float
    pt_phase: int
    ct_phase: int
    delay_s: float
    delay_off_s: float
    dead_time_s: float
    overrides_by_voltage: bool
    v_max: float
    v_min: float
    override_bus: str
    min_kvar_percent: float


@dataclass(frozen=True, eq=False)
class ControlReading:
    """The controls of a circuit in OpenDSS's order, its fuses, reclosers and current relays (`breakers`), its storage
    that does not idle, the names (kind.name) of `others` in service, how many rounds of control actions OpenDSS allows
    in one solution, and the hour and second at which time begins.
    """

    regulators: tuple[RegControlSettings, ...]
    capacitors: tuple[CapControlSettings, ...]
    inverters: tuple[InverterSettings, ...]
    fuses: tuple[FuseSettings, ...]
    others: tuple[str, ...]
    rounds_max: int
    storages: tuple[StorageSettings, ...] = ()
    begin: tuple[int, float] = (0, 0.0)
    breakers: tuple[BreakerSettings, ...] = ()


# Controls that act in time besides those read here; meters and monitors are none.
_OTHER_CONTROLS = frozenset(
    {
        "expcontrol",
        "storagecontroller",
        "swtcontrol",
        "relay",
        "recloser",
        "gendispatcher",
        "espvlcontrol",
        "upfccontrol",
    }
)


def read_controls(circuit: Circuit) -> ControlReading:
    """Every control in service of a circuit as it is set now; its storage is left idling."""
    names = [(kind, name) for kind, name in elements(circuit) if circuit.ask("CktElement_Get_Enabled")]
    breakers = read_breakers(circuit, [f"{kind}.{name}" for kind, name in names if kind in ("recloser", "relay")])
    others = [f"{kind}.{name}" for kind, name in names if kind in _OTHER_CONTROLS]
    return ControlReading(
        tuple(_reg_control(circuit, name) for kind, name in names if kind == "regcontrol"),
        tuple(_cap_control(circuit, name) for kind, name in names if kind == "capcontrol"),
        read_inverters(circuit),
        read_fuses(circuit, [name for kind, name in names if kind == "fuse"]),
        tuple(name for name in others if name not in {one.device for one in breakers}),
        int(circuit.command("Get maxcontroliter")),
        read_storages(circuit),
        (int(circuit.command("Get hour")), float(circuit.command("Get sec"))),
        breakers,
    )


def _reg_control(circuit: Circuit, name: str) -> RegControlSettings:
    own = ElementProperties(circuit, f"RegControl.{name}")
    transformer = named(own.text("transformer"))
    kind = "transformer" if circuit.has(f"Transformer.{transformer}") else "autotrans"
    changer = ElementProperties(circuit, f"{kind}.{transformer}")
    winding, tap_winding = int(own.text("winding")), int(own.text("tapwinding"))
    n_phases = int(changer.text("phases"))
    is_delta = [_is_delta(conn) for conn in changer.row("conns")]
    kv = [float(one) for one in changer.row("kvs")]
    base_v = [
        1e3 * of_winding / (3.0**0.5 if not delta and n_phases in (2, 3) else 1.0)
        for of_winding, delta in zip(kv, is_delta, strict=True)
    ]
    circuit.select_winding(f"{kind}.{transformer}", tap_winding)
    low, high, n_steps = (changer.number(figure) for figure in ("mintap", "maxtap", "numtaps"))
    bus = own.text("bus").lower()
    return RegControlSettings(
        name=name,
        kind=kind,
        transformer=transformer,
        winding=winding,
        tap_winding=tap_winding,
        n_phases=n_phases,
        is_delta=is_delta[winding - 1],
        next_phase=_next_phase(is_delta, base_v, changer.text("leadlag").lower() in ("lead", "euro")),
        base_v=base_v[winding - 1],
        tap_min_pu=low,
        tap_max_pu=high,
        tap_step_pu=(high - low) / n_steps if n_steps > 0 else 0.0,
        vreg=own.number("vreg"),
        band=own.number("band"),
        pt_ratio=own.number("ptratio"),
        remote_pt_ratio=own.number("remoteptratio"),
        ct_prim=own.number("ctprim"),
        r=own.number("r"),
        x=own.number("x"),
        z=own.number("ldc_z"),
        bus=bus,
        delay_s=own.number("delay"),
        tap_delay_s=own.number("tapdelay"),
        max_tap_change=int(own.text("maxtapchange")),
        inverse_time=own.yes("inversetime"),
        v_limit=own.number("vlimit"),
        pt_phase=own.phase("ptphase"),
        reversible=own.yes("reversible"),
        reverse_vreg=own.number("revvreg"),
        reverse_band=own.number("revband"),
        reverse_r=own.number("revr"),
        reverse_x=own.number("revx"),
        reverse_z=own.number("rev_z"),
        reverse_power_w=1e3 * own.number("revthreshold"),
        reverse_delay_s=own.number("revdelay"),
        reverse_neutral=own.yes("revneutral"),
        cogeneration=own.yes("cogen"),
    )


def _is_delta(connection: str) -> bool:
    return connection.startswith("d") or connection in ("ll", "l-l")


def _next_phase(is_delta: list[bool], base_v: list[float], high_leads: bool) -> int:
    """Which way OpenDSS turns round a transformer's delta windings: 1 or -1."""
    if len(is_delta) < 2 or is_delta[0] == is_delta[1]:
        return 1
    high_is_delta = is_delta[0] if base_v[0] >= base_v[1] else is_delta[1]
    return 1 if high_leads == high_is_delta else -1


def _cap_control(circuit: Circuit, name: str) -> CapControlSettings:
    own = ElementProperties(circuit, f"CapControl.{name}")
    capacitor = named(own.text("capacitor"))
    bank = ElementProperties(circuit, f"Capacitor.{capacitor}")
    circuit.activate(f"Capacitor.{capacitor}")
    is_open = bool(circuit.ask("CktElement_IsOpen", 1, 0))
    states = [float(state) for state in bank.row("states")]
    kind: CapKind = _CAP_KINDS.get(own.text("type").lower(), "other")
    element = own.text("element").lower()
    circuit.activate(element)
    phases, terminals = (int(circuit.ask(f"CktElement_Get_Num{what}")) for what in ("Phases", "Terminals"))
    on, off = own.number("onsetting"), own.number("offsetting")
    if kind == "pf":
        on, off = (_power_factor(value, usual) for value, usual in ((on, 0.95), (off, 1.05)))
    return CapControlSettings(
        name=name,
        capacitor=capacitor,
        n_phases=int(bank.text("phases")),
        is_delta=_is_delta(bank.text("conn").lower()),
        n_steps=int(bank.text("numsteps")),
        bank_kvar=sum(float(step) for step in bank.row("kvar")),
        is_closed=not is_open,
        in_service=any(state != 0.0 for state in states),
        element=element,
        element_phases=phases,
        element_terminals=terminals,
        terminal=int(own.text("terminal")),
        kind=kind,
        on=on,
        off=off,
        pt_ratio=own.number("ptratio"),
        ct_ratio=own.number("ctratio"),
        pt_phase=own.phase("ptphase"),
        ct_phase=own.phase("ctphase"),
        delay_s=own.number("delay"),
        delay_off_s=own.number("delayoff"),
        dead_time_s=own.number("deadtime"),
        overrides_by_voltage=own.yes("voltoverride"),
        v_max=own.number("vmax"),
        v_min=own.number("vmin"),
        override_bus=own.text("vbus").lower(),
        min_kvar_percent=own.number("pctminkvar"),
    )


def _power_factor(setting: float, usual: float) -> float:
    """OpenDSS's scale of power factors, on which leading ones lie from 1 to 2; `usual` where none was set."""
    if not -1.0 <= setting <= 1.0:
        return usual
    return 2.0 + setting if setting < 0.0 else setting


def winding_pairs(control: RegControlSettings, nodes: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ends of every phase of the controlled winding, as node numbers; -1 is ground."""
    n, n_conductors = control.n_phases, control.n_phases + 1
    own = [int(node) for node in nodes[(control.winding - 1) * n_conductors : control.winding * n_conductors]]
    if not control.is_delta:
        return [(own[k], own[n]) for k in range(n)]
    pairs = []
    for k in range(n):
        other = k + control.next_phase
        other = other % n if n > 2 else (2 if other < 0 else other)
        pairs.append((own[k], own[other]))
    return pairs
