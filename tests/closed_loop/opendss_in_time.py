"""A closed loop by OpenDSS itself: its own controls act in time on a circuit whose draws are given step by step.

Nothing but opendssdirect and numpy. Controls come to rest with the first draw before time is counted
(`ControlMode=Static`), then every step is one solution in time mode; steps of 300 s and more are snapshots in which
controls settle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import opendssdirect
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_SETTLED_DT_S = 300.0
_ROUNDS_AT_REST = 500
_CONSTANT_POWER = "model=1 status=fixed"


@dataclass(frozen=True, eq=False)
class Draw:
    """What hangs between two nodes (0: ground) of a bus: `kw` and `kvar` (step,), constant power in its window."""

    name: str
    bus: str
    nodes: tuple[int, int]
    kv: float
    window_pu: tuple[float, float]
    kw: Floats
    kvar: Floats


@dataclass(frozen=True, eq=False)
class TimeRun:
    """What OpenDSS did until it ended or failed: node magnitudes `volts` (step, node), tap ratios (step, RegControl),
    whether banks under a control are on (step, bank), and what units under an InvControl feed in (step, unit, 2), kW
    and kvar; `failure` in OpenDSS's words.
    """

    nodes: tuple[str, ...]
    volts: Floats
    taps: dict[str, Floats]
    banks: dict[str, Floats]
    units: dict[str, Floats]
    failure: str


def run_in_time(
    commands: Sequence[str],
    draws: Sequence[Draw],
    dt_s: float,
    start_taps: dict[str, float],
    sun: Floats | None = None,
    tolerance: float = 1e-10,
) -> TimeRun:
    """Run a circuit that `commands` build; `start_taps` are ratios by RegControl before the first step, `sun` (step,)
    the share of its stated irradiance that every PV system gets.
    """
    dss = opendssdirect.dss.NewContext()
    tell = dss.Text.Command
    for line in "\n".join(commands).splitlines():
        tell(line)
    settles_each_step = dt_s >= _SETTLED_DT_S
    if settles_each_step:
        tell(f"Set mode=snapshot controlmode=static maxcontroliter={_ROUNDS_AT_REST}")
    else:
        tell(f"Set mode=time stepsize={dt_s}s number=1")
    tell(f"Set tolerance={tolerance} maxiterations=500")
    for draw in draws:
        first, second = draw.nodes
        place = f"{draw.bus}.{first}.{second} conn=delta" if second else f"{draw.bus}.{first} conn=wye"
        window = f"vminpu={draw.window_pu[0]:.12g} vmaxpu={draw.window_pu[1]:.12g}"
        tell(f"New Load.{draw.name} phases=1 bus1={place} kv={draw.kv:.6f} kw=0 kvar=0 {_CONSTANT_POWER} {window}")
    changers = _changers(dss)
    for name, ratio in start_taps.items():
        transformer, winding = changers[name]
        tell(f"Edit Transformer.{transformer} wdg={winding} tap={ratio:.9f}")
    dss.Solution.SolveNoControl()
    banks = [_name(_stated(dss, f"CapControl.{name}", "capacitor")) for name in _enabled(dss, "CapControl")]
    units = sorted({unit for name in _enabled(dss, "InvControl") for unit in _steered(dss, name)})
    suns = {name: float(_stated(dss, f"PVSystem.{name}", "irradiance")) for name in _enabled(dss, "PVSystem")}
    shone = 1.0
    nodes = tuple(name.lower() for name in dss.Circuit.YNodeOrder())
    volts, failure = [], ""
    seen: dict[str, dict[str, list[object]]] = {
        "taps": {name: [] for name in changers},
        "banks": {name: [] for name in banks},
        "units": {name: [] for name in units},
    }
    try:
        for step in range(len(draws[0].kw) if draws else 0):
            if sun is not None and sun[step] != shone:
                shone = float(sun[step])
                for name, irradiance in suns.items():
                    tell(f"Edit PVSystem.{name} irradiance={irradiance * shone:.12g}")
            for draw in draws:
                tell(f"Load.{draw.name}.kw={draw.kw[step]:.17g}")
                tell(f"Load.{draw.name}.kvar={draw.kvar[step]:.17g}")
            if step == 0 and not settles_each_step:
                rounds = dss.Solution.MaxControlIterations()
                tell(f"Set controlmode=static maxcontroliter={_ROUNDS_AT_REST}")
                dss.Solution.Solve()
                tell(f"Set controlmode=time maxcontroliter={rounds} hour=0 sec=0")
            dss.Solution.Solve()
            if not dss.Solution.Converged():
                failure = f"step {step}: not converged"
                break
            pairs = np.reshape(dss.Circuit.YNodeVArray(), (-1, 2))
            volts.append(np.hypot(pairs[:, 0], pairs[:, 1]))
            for name, (transformer, winding) in changers.items():
                dss.Transformers.Name(transformer)
                dss.Transformers.Wdg(winding)
                seen["taps"][name].append(dss.Transformers.Tap())
            for name in banks:
                dss.Capacitors.Name(name)
                is_open = dss.CktElement.IsOpen(1, 0)
                seen["banks"][name].append(float(not is_open and dss.Capacitors.States()[0] > 0))
            for unit in units:
                seen["units"][unit].append(_fed_in(dss, unit))
    except opendssdirect.DSSException as error:
        failure = f"step {len(volts)}: {' '.join(str(error).split())}"
    arrays = {what: {name: np.array(rows) for name, rows in of_what.items()} for what, of_what in seen.items()}
    return TimeRun(nodes, np.array(volts), arrays["taps"], arrays["banks"], arrays["units"], failure)


def _enabled(dss: opendssdirect.dss, kind: str) -> list[str]:
    names = [name.partition(".")[2] for name in dss.Circuit.AllElementNames() if name.lower().startswith(kind.lower())]
    return [
        name.lower() for name in names if dss.Circuit.SetActiveElement(f"{kind}.{name}") and dss.CktElement.Enabled()
    ]


def _stated(dss: opendssdirect.dss, element: str, prop: str) -> str:
    dss.Text.Command(f"? {element}.{prop}")
    return str(dss.Text.Result()).strip().lower()


def _name(element: str) -> str:
    return element.rpartition(".")[2]


def _changers(dss: opendssdirect.dss) -> dict[str, tuple[str, int]]:
    """Transformer and winding that each RegControl in service moves."""
    return {
        name: (
            _name(_stated(dss, f"RegControl.{name}", "transformer")),
            int(_stated(dss, f"RegControl.{name}", "tapwinding")),
        )
        for name in _enabled(dss, "RegControl")
    }


def _steered(dss: opendssdirect.dss, control: str) -> list[str]:
    dss.Text.Command(f"? InvControl.{control}.derlist")
    own = str(dss.Text.Result()).strip("[] ").replace(",", " ").lower().split()
    return own or [f"{kind}.{name}" for kind in ("pvsystem", "storage") for name in _enabled(dss, kind)]


def _fed_in(dss: opendssdirect.dss, unit: str) -> tuple[float, float]:
    """kW and kvar that the engine has set a PV system to, or what a storage feeds in."""
    kind, _, name = unit.partition(".")
    if kind == "pvsystem":
        dss.PVsystems.Name(name)
        return dss.PVsystems.kW(), dss.PVsystems.kvar()
    dss.Circuit.SetActiveElement(unit)
    powers = dss.CktElement.Powers()
    return -sum(powers[0::2]), -sum(powers[1::2])
