"""Random small feeders with controls of their own, and random closed loops on them; the same ones for the same seed.

A substation transformer with a changer, a line with a regulator in it (three-phase, or one transformer a phase), loads
of every model, and capacitor banks; the controls' settings are drawn over everything that OpenDSS lets them be.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from batch_parts import FLAT, site

from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.config import ReplicaSchedule
from g2g_opt.feeder import Feeder
from g2g_opt.grid.generator import HeldGenerator
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.held_series import HeldSeries

Rng = np.random.Generator
_WATT_BASES = ("pmpppu", "pavailablepu", "pctpmpppu", "kvaratingpu")
INVERTER_MODES = ("mode=voltvar", "mode=voltwatt", "combimode=vv_vw")
# Steps (s): with time passing, and one so long that controls settle within it.
STEPS = (Fraction(1), Fraction(1), Fraction(2), Fraction(5), Fraction(1, 2), Fraction(1), Fraction(2), Fraction(300))


def circuit_text(rng: Rng) -> str:
    """Commands of one circuit; buses `head`, `mid`, `after` (behind the regulator) and `far` have three phases."""
    lines = [
        "Clear",
        f"New Circuit.own basekv=33 pu={rng.uniform(0.99, 1.04):.4f} bus1=grid MVAsc3=400 MVAsc1=350",
        *_substation(rng),
        "New Linecode.lc nphases=3 r1=0.3 x1=0.4 r0=0.7 x0=1.3 c1=10 c0=5 units=km normamps=900",
        f"New Line.l1 bus1=head bus2=mid linecode=lc length={rng.uniform(0.5, 3):.3f} units=km",
        *_regulators(rng),
        f"New Line.l2 bus1=after bus2=far linecode=lc length={rng.uniform(1, 4):.3f} units=km",
        f"New Load.d1 bus1=mid phases=3 conn=delta kv=11 kw={rng.uniform(200, 1500):.1f} pf=0.95 model=1",
        f"New Load.d2 bus1=far phases=3 kv=11 kw={rng.uniform(100, 900):.1f} pf=0.9 model={rng.choice([1, 2, 5])}",
        f"New Load.d3 bus1=far.{rng.integers(1, 4)} phases=1 kv=6.35 kw={rng.uniform(10, 300):.1f} pf=0.95 model=1",
        *_banks(rng),
        "Set VoltageBases=[33 11]",
        f"Set MaxControlIter={rng.choice([10, 15, 100])}",
        "CalcVoltageBases",
    ]
    return "\n".join(lines) + "\n"


def _substation(rng: Rng) -> list[str]:
    """A changer on either winding, the other winding the controlled one or not."""
    tapped = int(rng.integers(1, 3))
    low = 0.0125 * rng.integers(6, 13)
    range_ = f"maxtap={1 + low:.4f} mintap={1 - low:.4f} numtaps={rng.choice([16, 32])}"
    first, second = (range_, "numtaps=0 maxtap=1 mintap=1") if tapped == 1 else ("", range_)
    connections = [("delta", "wye"), ("wye", "wye"), ("delta", "delta"), ("wye", "delta")][rng.integers(4)]
    if connections[1] == "delta":
        # A ground for the loads behind it.
        ground = ["New Reactor.ground bus1=head bus2=head.0.0.0 phases=3 R=0.5 X=12"]
    else:
        ground = []
    lead = rng.choice(["lead", "lag"])
    lines = [
        f"New Transformer.sub phases=3 windings=2 xhl=8 %loadloss=0.6 leadlag={lead}",
        f"~ wdg=1 bus=grid conn={connections[0]} kv=33 kva=15000 {first}",
        f"~ wdg=2 bus=head conn={connections[1]} kv=11 kva=15000 {second}",
        *ground,
    ]
    if rng.random() < 0.75:
        pt = 11000.0 / 120.0 / (1.0 if connections[1] == "delta" else 3**0.5)
        lines.append(
            f"New RegControl.oltc transformer=sub winding=2 {regulator_settings(rng, pt, '')} tapwinding={tapped}"
        )
    return lines


def _regulators(rng: Rng) -> list[str]:
    """Between `mid` and `after`: three transformers of one phase, or one of three with one or two changers."""
    pt = 11000.0 / 120.0 / 3**0.5
    lines = []
    if rng.random() < 0.6:
        like = rng.random() < 0.3
        for phase in (1, 2, 3):
            lines += [
                f"New Transformer.reg{phase} phases=1 windings=2 xhl=0.05 %loadloss=0.01 buses=[mid.{phase} "
                f"after.{phase}] kvs=[6.35085 6.35085] kvas=[6000 6000]"
            ]
            if like and phase > 1:
                lines.append(f"New RegControl.r{phase} like=r1 transformer=reg{phase} X={rng.uniform(0, 3):.3f}")
            else:
                remote = f"far.{phase}" if rng.random() < 0.3 else ""
                lines.append(
                    f"New RegControl.r{phase} transformer=reg{phase} winding=2 {regulator_settings(rng, pt, remote)}"
                )
        return lines
    lines.append(
        "New Transformer.reg phases=3 windings=2 xhl=0.5 %loadloss=0.05 buses=[mid after] conns=[wye wye] "
        "kvs=[11 11] kvas=[12000 12000]"
    )
    remote = f"far.{rng.integers(1, 4)}" if rng.random() < 0.3 else ""
    lines.append(f"New RegControl.r2 transformer=reg winding=2 {regulator_settings(rng, pt, remote)}")
    if rng.random() < 0.4:
        lines.append(f"New RegControl.r1 transformer=reg winding=2 {regulator_settings(rng, pt, '')} tapwinding=1")
    return lines


def regulator_settings(rng: Rng, pt: float, remote: str, n_phases: int = 3) -> str:
    """Settings of one RegControl on a transformer of so many phases."""
    words = [
        f"vreg={rng.uniform(117, 125):.3f} band={rng.uniform(1.2, 4):.3f} ptratio={pt:.5f}",
        f"delay={rng.choice([0, 1, 3, 7.5, 15])} tapdelay={rng.choice([0, 1, 2, 3.3])}",
    ]
    if rng.random() < 0.2:
        words.append(f"maxtapchange={rng.choice([1, 3])}")
    if rng.random() < 0.2:
        words.append("inversetime=yes")
    if rng.random() < 0.15:
        words.append(f"vlimit={rng.uniform(122, 128):.3f}")
    if remote:
        return " ".join([*words, f"bus={remote}", f"remoteptratio={pt:.5f}"])
    if rng.random() < 0.5:
        words.append(f"ctprim={rng.choice([300, 700])} R={rng.uniform(0, 4):.3f} X={rng.uniform(-1, 6):.3f}")
    elif rng.random() < 0.3:
        words.append(f"ctprim=500 ldc_z={rng.uniform(0.5, 4):.3f} rev_z={rng.uniform(0.5, 4):.3f}")
    if rng.random() < 0.3 and n_phases > 1:
        words.append(f"ptphase={rng.choice(['max', 'min', '2', '3'])}")
    if rng.random() < 0.4:
        words.append(
            f"{rng.choice(['reversible', 'cogen'])}=yes revvreg={rng.uniform(117, 125):.3f} revband=3 "
            f"revr={rng.uniform(0, 2):.3f} revx=1 revthreshold={rng.choice([50, 800])} revdelay={rng.choice([2, 10])}"
        )
        if rng.random() < 0.4:
            words.append("revneutral=yes")
    return " ".join(words)


def _banks(rng: Rng) -> list[str]:
    lines = []
    for k in range(rng.integers(0, 3)):
        bus = rng.choice(["mid", "after", "far"])
        conn = rng.choice(["wye", "delta"])
        state = rng.choice([0, 1])
        lines.append(
            f"New Capacitor.c{k} bus1={bus} kv=11 kvar={rng.uniform(300, 1500):.0f} conn={conn} states=[{state}]"
        )
        if rng.random() < 0.85:
            pt = 11000.0 / 120.0 / 3**0.5
            lines.append(f"New CapControl.c{k} capacitor=c{k} {bank_settings(rng, pt, ('l1', 'l2'))}")
    return lines


def bank_settings(rng: Rng, pt: float, lines: Sequence[str]) -> str:
    """Settings of one CapControl that looks at one of some three-phase lines."""
    element = f"element=Line.{rng.choice(lines)} terminal={rng.integers(1, 3)}"
    kind = rng.choice(["voltage", "current", "kvar", "time", "pf"])
    on, off = {
        "voltage": (rng.uniform(116, 120), rng.uniform(120.5, 124)),
        "current": (rng.uniform(1.2, 2.5), rng.uniform(0.6, 1.1)),
        "kvar": (rng.uniform(200, 700), rng.uniform(-700, 0)),
        "time": ((0.004, 0.012) if rng.random() < 0.5 else (0.012, 0.004)),
        "pf": (rng.uniform(0.9, 0.97), -rng.uniform(0.9, 0.99)),
    }[str(kind)]
    words = [element, f"type={kind} ptratio={pt:.5f} onsetting={on:.5f} offsetting={off:.5f}"]
    words.append(f"delay={rng.choice([0, 2, 5])} delayoff={rng.choice([1, 4])} deadtime={rng.choice([0, 10, 300])}")
    if rng.random() < 0.3:
        words.append(f"voltoverride=yes vmin={rng.uniform(112, 116):.3f} vmax={rng.uniform(122, 127):.3f}")
    if rng.random() < 0.4:
        words.append(f"ptphase={rng.choice(['avg', 'max', 'min', '2'])}")
    if rng.random() < 0.4:
        words.append(f"ctphase={rng.choice(['avg', 'max', 'min', '3'])}")
    return " ".join(words)


def inverters(
    rng: Rng,
    way: str,
    buses: Sequence[str] = ("mid", "far"),
    kv: float = 11.0,
    kva: tuple[float, float] = (300, 1500),
    modes: Sequence[str] = INVERTER_MODES,
) -> str:
    """One to three PV systems of one or three phases under one or two InvControls that go `way` of the distance."""
    lines, names = [], []
    for k in range(int(rng.integers(1, 4))):
        bus, three = rng.choice(buses), rng.random() < 0.6
        rated = rng.uniform(*kva) if three else rng.uniform(kva[0] / 6, kva[1] / 5)
        place = f"{bus} phases=3 kv={kv:g}" if three else f"{bus}.{rng.integers(1, 4)} phases=1 kv={kv / 3**0.5:.3f}"
        lines.append(
            f"New PVSystem.pv{k} bus1={place} kva={rated:.2f} pmpp={rated * rng.uniform(0.8, 1.2):.2f} irradiance="
            f"{rng.uniform(0.3, 1.0):.3f} {rng.choice(['pf=1', 'pf=0.95', 'pf=-0.97', f'kvar={0.1 * rated:.1f}'])} "
            f"wattpriority={rng.choice(['yes', 'no'])} %pmpp={rng.choice([100, 70])}"
            + (f" kvarmax={0.5 * rated:.2f} kvarmaxabs={0.4 * rated:.2f}" if rng.random() < 0.4 else "")
        )
        names.append(f"PVSystem.pv{k}")
    lines += [
        f"New XYCurve.vv{k} npts=6 xarray=[0.5 {0.93 + 0.02 * rng.random():.4f} {0.97 + 0.02 * rng.random():.4f} "
        f"{1.0 + 0.01 * rng.random():.4f} {1.04 + 0.02 * rng.random():.4f} 1.5] yarray=[{rng.uniform(0.4, 1):.3f} "
        f"{rng.uniform(0.4, 1):.3f} 0 {rng.choice([0.0, -0.1])} -{rng.uniform(0.4, 1):.3f} -1]"
        for k in range(2)
    ]
    lines += [
        f"New XYCurve.vw{k} npts=4 xarray=[0.5 {1.0 + 0.02 * rng.random():.4f} {1.04 + 0.04 * rng.random():.4f} 1.5] "
        f"yarray=[1 1 {rng.uniform(0.0, 0.4):.3f} 0]"
        for k in range(2)
    ]
    parts = [names] if len(names) == 1 or rng.random() < 0.5 else [names[:1], names[1:]]
    for k, part in enumerate(parts):
        lines.append(
            f"New InvControl.ic{k} derlist=[{' '.join(part)}] {rng.choice(modes)} vvc_curve1=vv{k} "
            f"voltwatt_curve=vw{k} {way} voltwattyaxis={rng.choice(_WATT_BASES)} "
            f"refreactivepower={rng.choice(['varaval', 'varmax'])} monvoltagecalc={rng.choice(['avg', 'max', 'min'])} "
            f"varchangetolerance={rng.choice([0.025, 0.005])} voltagechangetolerance={rng.choice([0.0001, 0.001])}"
        )
    return "\n".join(lines)


def random_feeder(folder: Path, seed: int) -> Feeder:
    """The feeder of a random circuit."""
    master = folder / f"own{seed}.dss"
    master.write_text(circuit_text(np.random.default_rng([seed, 0])), encoding="utf-8")
    return Feeder.from_dss(master)


def sunny_feeder(folder: Path, seed: int, way: str, modes: Sequence[str] = INVERTER_MODES) -> Feeder:
    """A random circuit with PV systems under InvControls that go `way` of the distance."""
    text = circuit_text(np.random.default_rng([seed, 0]))
    path = folder / f"sunny{seed}.dss"
    own = inverters(np.random.default_rng([seed, 2]), way, modes=modes)
    path.write_text(text.replace("Set VoltageBases", f"{own}\nSet VoltageBases"), encoding="utf-8")
    return Feeder.from_dss(path)


def random_loop(feeder: Feeder, seed: int, n_steps: int = 60, sun: HeldSeries | None = None) -> Coordinator[Any, Any]:
    """A site that ramps, and generation that comes and goes, sometimes more than the feeder draws."""
    rng = np.random.default_rng([seed, 1])
    dt_s = STEPS[rng.integers(len(STEPS))]
    duration_s = float(n_steps * dt_s)
    grid = OpenDSSGrid(
        feeder=feeder, dt_s=dt_s, dss_controls=True, tolerance=1e-10, max_iterations=500, own_sun_share=sun
    )
    begin, end = np.sort(rng.uniform(0, duration_s, 2))
    ramp = (int(rng.integers(1, 900)), float(begin), float(end))
    replicas = ReplicaSchedule(int(rng.integers(1, 900)), (ramp,))
    a = site("a", (replicas, 1), data=FLAT, noise=0.0, base_kw=float(rng.uniform(10, 600)), dt_s=dt_s)
    grid.attach_dc(a, bus=str(rng.choice(["mid", "far"])))
    share = HeldSeries(tuple(rng.choice([0.0, 0.2, 0.6, 1.0], 6)), duration_s / 6)
    grid.attach_generator(HeldGenerator(float(rng.choice([100.0, 700.0, 1500.0])), share), bus="far")
    return Coordinator(datacenters=[a], grid=grid, controllers=[], total_duration_s=duration_s)
