"""Circuits of our own making for `solved_share.py`: what planners' circuits have and textbook feeders lack.

Each is OpenDSS commands, the same for the same name: ungrounded deltas, split-phase secondaries, loads far below their
window, meshes, busbars of a millimetre, and radial feeders of thousands of nodes with services behind transformers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_CODE = (
    "New Linecode.lc nphases=3 units=km rmatrix=(0.3 | 0.1 0.31 | 0.09 0.11 0.32) "
    "xmatrix=(0.9 | 0.4 0.88 | 0.35 0.38 0.91) cmatrix=(12 | -3 12 | -3 -3 12)",
    "New Linecode.one nphases=1 units=km r1=0.6 x1=0.9 c1=5",
    "New Linecode.triplex nphases=2 units=km rmatrix=(0.55 | 0.12 0.55) xmatrix=(0.35 | 0.2 0.35) cmatrix=(1 | 0 1)",
)
_END = ("Set VoltageBases=[115 33 12.47 4.16 0.48 0.208]", "CalcVoltageBases")


def _source(kv: float = 12.47, pu: float = 1.02) -> list[str]:
    return [f"New Circuit.own bus1=b0 basekv={kv} pu={pu} R1=0.1 X1=0.6 R0=0.2 X0=0.9", *_CODE]


def _trunk(rng: np.random.Generator, n: int, km: tuple[float, float]) -> list[str]:
    """Lines b0 to bn-1, each bus hung on one of the latest few."""
    lines = []
    for k in range(1, n):
        parent = max(0, k - 1 - int(rng.integers(0, 3)))
        lines.append(f"New Line.l{k} bus1=b{parent} bus2=b{k} linecode=lc length={rng.uniform(*km):.4f} units=km")
    return lines


def delta_loads() -> list[str]:
    """An ungrounded delta secondary of the substation, with loads of every model from phase to phase."""
    rng = np.random.default_rng(1)
    lines = [
        "New Circuit.own bus1=hv basekv=115 pu=1.03 MVAsc3=900 MVAsc1=700",
        *_CODE,
        "New Transformer.sub phases=3 windings=2 buses=(hv b0) conns=(wye delta) kVs=(115 4.16) kVAs=(5000 5000) xhl=7 "
        "%loadloss=0.6",
        *_trunk(rng, 40, (0.05, 0.25)),
    ]
    for k in range(1, 40):
        pair = rng.choice([".1.2", ".2.3", ".3.1", ""])
        phases = 3 if not pair else 1
        lines.append(
            f"New Load.d{k} bus1=b{k}{pair} phases={phases} conn=delta kV=4.16 kW={rng.uniform(10, 90):.1f} pf=0.9 "
            f"model={rng.choice([1, 1, 2, 4, 5])}"
        )
    return [*lines, *_END]


def _service(name: str, at: str, rng: np.random.Generator, load: float = 1.0) -> list[str]:
    """A centre-tapped transformer at a node, a drop, and three loads that draw the share `load` of the usual."""
    kva = rng.choice([15, 25, 50])
    leg, across = 0.13 * kva * load, 0.3 * kva * load
    return [
        f"New Transformer.t{name} phases=1 windings=3 buses=({at}.0 s{name}.1.0 s{name}.0.2) kVs=(7.2 0.12 0.12) "
        f"kVAs=({kva} {kva} {kva}) xhl=2.04 xht=2.04 xlt=1.36 %Rs=(0.6 1.2 1.2) %noloadloss=0.2",
        f"New Line.h{name} bus1=s{name}.1.2 bus2=h{name}.1.2 phases=2 linecode=triplex "
        f"length={rng.uniform(10, 60):.1f} units=m",
        f"New Load.p{name} bus1=h{name}.1 phases=1 kV=0.12 kW={rng.uniform(0.1 * leg, leg):.3f} pf=0.95",
        f"New Load.q{name} bus1=h{name}.2 phases=1 kV=0.12 kW={rng.uniform(0.1 * leg, leg):.3f} pf=0.95",
        f"New Load.w{name} bus1=h{name}.1.2 phases=1 kV=0.24 kW={rng.uniform(0.1 * across, across):.3f} pf=0.97 "
        f"model={rng.choice([1, 2, 4])}",
    ]


def split_phase() -> list[str]:
    """A 12.47 kV feeder whose loads all hang on split-phase services, many below 0.95 pu."""
    rng = np.random.default_rng(2)
    lines = [*_source(), *_trunk(rng, 60, (0.1, 0.6))]
    for k in range(2, 60):
        lines += _service(f"{k}", f"b{k}.{1 + k % 3}", rng)
    return [*lines, *_END]


def low_voltages() -> list[str]:
    """Two heavily loaded branches whose far ends are at 0.7 to 0.85 pu, with narrow windows and CVR loads."""
    rng = np.random.default_rng(3)
    lines = [*_source(pu=1.0), *_trunk(rng, 24, (0.4, 0.9))]
    for k in range(2, 24):
        window = rng.choice(["vminpu=0.95", "vminpu=0.9", "vminpu=0.85"])
        kind = rng.choice(["model=1", "model=1", "model=4 CVRwatts=0.8 CVRvars=3", "model=5", "model=3"])
        lines.append(f"New Load.d{k} bus1=b{k} phases=3 kV=12.47 kW={rng.uniform(150, 520):.1f} pf=0.9 {kind} {window}")
    return [*lines, *_END]


def regulated() -> list[str]:
    """A long feeder with a changer at its head, regulators in it, capacitor banks, and services."""
    rng = np.random.default_rng(4)
    lines = [
        "New Circuit.own bus1=hv basekv=115 pu=1.0 MVAsc3=1200 MVAsc1=900",
        *_CODE,
        "New Transformer.sub phases=3 windings=2 buses=(hv b0) conns=(delta wye) kVs=(115 12.47) kVAs=(15000 15000) "
        "xhl=8 %loadloss=0.5",
        "New RegControl.sub transformer=sub winding=2 vreg=122 band=2 ptratio=60",
        *_trunk(rng, 50, (0.2, 0.6)),
    ]
    for phase in (1, 2, 3):
        lines += [
            f"New Transformer.r{phase} phases=1 windings=2 buses=(b24.{phase} r.{phase}) kVs=(7.2 7.2) "
            "kVAs=(5000 5000) xhl=0.1 %loadloss=0.01",
            f"New RegControl.r{phase} transformer=r{phase} winding=2 vreg=122 band=2 ptratio=60",
        ]
    lines += [
        "New Line.behind bus1=r bus2=f0 linecode=lc length=0.8 units=km",
        "New Capacitor.c1 bus1=b30 phases=3 kvar=600 kV=12.47",
        "New Capacitor.c2 bus1=f0 phases=3 kvar=300 kV=12.47",
    ]
    for k in range(1, 16):
        lines.append(f"New Line.f{k} bus1=f{k - 1} bus2=f{k} linecode=lc length={rng.uniform(0.2, 0.6):.3f} units=km")
        lines.append(f"New Load.f{k} bus1=f{k} phases=3 kV=12.47 kW={rng.uniform(20, 160):.1f} pf=0.93")
    for k in range(2, 50):
        if k % 3:
            lines += _service(f"{k}", f"b{k}.{1 + k % 3}", rng)
        else:
            lines.append(
                f"New Load.m{k} bus1=b{k}.{1 + k % 3} phases=1 kV=7.2 kW={rng.uniform(5, 120):.1f} pf=0.92 "
                f"model={rng.choice([1, 2, 4, 5])}"
            )
    return [*lines, *_END]


def meshed() -> list[str]:
    """A secondary network of 208 V: a grid of cables fed through many transformers from three feeders."""
    rng = np.random.default_rng(5)
    lines = [*_source(pu=1.0), *_trunk(rng, 24, (0.1, 0.3))]
    side = 12
    for i in range(side):
        for j in range(side):
            for di, dj in ((0, 1), (1, 0)):
                if i + di < side and j + dj < side:
                    lines.append(
                        f"New Line.g{i}_{j}_{di} bus1=g{i}_{j} bus2=g{i + di}_{j + dj} phases=3 r1=9e-5 x1=1e-4 "
                        f"r0=2e-4 x0=2.5e-4 c1=0 c0=0 length={rng.uniform(30, 90):.1f} units=m"
                    )
            lines.append(
                f"New Load.g{i}_{j} bus1=g{i}_{j} phases=3 kV=0.208 kW={rng.uniform(5, 40):.1f} pf=0.9 vminpu=0.85"
            )
    for k in range(23):
        i, j = divmod(int(rng.integers(side * side)), side)
        lines.append(
            f"New Transformer.n{k} phases=3 windings=2 buses=(b{k + 1} g{i}_{j}) conns=(delta wye) kVs=(12.47 0.208) "
            "kVAs=(500 500) xhl=5 %loadloss=1"
        )
    return [*lines, *_END]


def short_lines() -> list[str]:
    """A feeder with switches and busbars of a millimetre to a metre between ordinary lines."""
    rng = np.random.default_rng(6)
    lines = [
        *_source(),
        "New Linecode.bar nphases=3 units=km r1=0.01 x1=0.01 r0=0.02 x0=0.02 c1=0 c0=0",
        *_trunk(rng, 40, (0.1, 0.5)),
    ]
    for k in range(1, 40):
        metres = (0.001, 0.01, 0.1, 1.0)[k % 4]
        lines.append(f"New Line.bar{k} bus1=b{k} bus2=x{k} linecode=bar length={metres} units=m")
        lines.append(f"New Load.d{k} bus1=x{k} phases=3 kV=12.47 kW={rng.uniform(10, 150):.1f} pf=0.93")
    return [*lines, *_END]


def large(n_nodes: int) -> list[str]:
    """A radial feeder of about `n_nodes` nodes: a three-phase trunk, laterals of one phase, split-phase services."""
    rng = np.random.default_rng(n_nodes)
    lines = [
        "New Circuit.own bus1=hv basekv=115 pu=1.02 MVAsc3=2000 MVAsc1=1600",
        *_CODE,
        "New Transformer.sub phases=3 windings=2 buses=(hv b0) conns=(delta wye) kVs=(115 12.47) kVAs=(20000 20000) "
        "xhl=8 %loadloss=0.4",
        "New RegControl.sub transformer=sub winding=2 vreg=123 band=2 ptratio=60 delay=30",
    ]
    n_trunk = n_nodes // 20
    reach = 6.0 / n_trunk**0.5
    lines += _trunk(rng, n_trunk, (0.2 * reach / n_trunk**0.5, reach / n_trunk**0.5))
    for phase in (1, 2, 3):
        lines += [
            f"New Transformer.r{phase} phases=1 windings=2 buses=(b{n_trunk // 3}.{phase} r.{phase}) kVs=(7.2 7.2) "
            "kVAs=(8000 8000) xhl=0.1 %loadloss=0.01",
            f"New RegControl.r{phase} transformer=r{phase} winding=2 vreg=123 band=2 ptratio=60 delay=45",
        ]
    lines += [
        "New Line.behind bus1=r bus2=rb linecode=lc length=0.3 units=km",
        "New Load.behind bus1=rb phases=3 kV=12.47 kW=400 pf=0.95",
        f"New Capacitor.c1 bus1=b{n_trunk // 2} phases=3 kvar=900 kV=12.47",
        f"New CapControl.c1 capacitor=c1 element=Line.l{n_trunk // 2} terminal=1 type=voltage ptratio=60 on=117 "
        "off=125 delay=60",
    ]
    count, k = 3 * n_trunk, 0
    while count < n_nodes:
        trunk, phase = int(rng.integers(1, n_trunk)), 1 + k % 3
        at = f"b{trunk}.{phase}"
        for j in range(int(rng.integers(1, 5))):
            bus = f"y{k}_{j}"
            lines.append(
                f"New Line.y{k}_{j} bus1={at} bus2={bus}.{phase} phases=1 linecode=one "
                f"length={rng.uniform(20, 90):.1f} units=m"
            )
            at = f"{bus}.{phase}"
            count += 1
            if rng.random() < 0.75:
                lines += _service(f"{k}_{j}", at, rng, load=0.25)
                count += 4
            else:
                lines.append(f"New Load.y{k}_{j} bus1={at} phases=1 kV=7.2 kW={rng.uniform(1, 12):.2f} pf=0.95")
        k += 1
    return [*lines, *_END]


OWN: dict[str, Callable[[], list[str]]] = {
    "delta_loads": delta_loads,
    "split_phase": split_phase,
    "low_voltages": low_voltages,
    "regulated": regulated,
    "meshed": meshed,
    "short_lines": short_lines,
    "nodes_3000": lambda: large(3000),
    "nodes_8000": lambda: large(8000),
}
