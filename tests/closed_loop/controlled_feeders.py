"""Random closed loops on circuits with RegControls, CapControls and InvControls, and each by OpenDSS itself.

Half of them are the random circuits of `controlled_circuits`, half bundled feeders whose regulators are set anew and
that get banks and PV systems under controls; a site ramps on each, in half of the loops under a controller of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from batch_parts import MEASURED, droop, ofo, site
from controlled_circuits import bank_settings, inverters, random_loop, regulator_settings, sunny_feeder
from engine_pair import run_single
from opendss_in_time import Draw, Floats, TimeRun, run_in_time

from g2g_opt.batch.simulator import BatchRun, run_batch
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.config import ReplicaSchedule
from g2g_opt.feeder import Feeder
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.held_series import HeldSeries

Rng = np.random.Generator
# kV of a bus, ratio of the potential transformers, replicas of the small model at most.
_BUNDLED = {"ieee13": (4.16, 20.0, 1500), "ieee34": (24.9, 120.0, 150), "ieee123": (4.16, 20.0, 900)}
# None that ends open: the power factor of what flows there is one of rounding.
_THREE_PHASE_LINE = re.compile(r"^New Line\.(\S+) (?!.*_open ).*phases=3", re.MULTILINE | re.IGNORECASE)
TOLERANCE, VOLTAGE_ATOL_PU, TAP_ATOL_PU = 1e-10, 1e-6, 1e-9
# Vars and watts that an inverter is set to (of a hundred kilowatts and more).
KVA_ATOL = 1e-3


def controlled_feeder(folder: Path, seed: int) -> Feeder:
    """The feeder of a loop."""
    rng = np.random.default_rng([seed, 3])
    adapts = rng.random() < 0.25
    shares = rng.choice([0.2, 0.3, 0.5, 0.7, 1.0], 2)
    way = "" if adapts else f"deltaq_factor={shares[0]:.1f} deltap_factor={shares[1]:.1f}"
    if seed % 2 == 0:
        return sunny_feeder(folder, seed, way)
    name = tuple(_BUNDLED)[rng.integers(3)]
    feeder = Feeder.load(name)
    return replace(feeder, commands=(*feeder.commands, *_edits(feeder, rng, way)))


def _edits(feeder: Feeder, rng: Rng, way: str) -> list[str]:
    kv, pt, _ = _BUNDLED[feeder.name]
    lines = _THREE_PHASE_LINE.findall("\n".join(feeder.commands))
    places = [bus for bus in feeder.candidate_buses if len(feeder.buses[bus].phases) == 3]
    edits = []
    for name in feeder.regulators:
        if rng.random() < 0.7:
            edits.append(f"Edit RegControl.{name} {regulator_settings(rng, pt, '', n_phases=1)}")
    for k in range(rng.integers(0, 3)):
        kvar = rng.uniform(50, 400)
        edits += [
            f"New Capacitor.own{k} bus1={rng.choice(places)} kv={kv} kvar={kvar:.0f} states=[{rng.choice([0, 1])}]",
            f"New CapControl.own{k} capacitor=own{k} {bank_settings(rng, pt, lines)}",
        ]
    edits += inverters(rng, way, places, kv, kva=(60, 500)).splitlines()
    return edits


def controlled_loop(feeder: Feeder, seed: int, n_steps: int = 60) -> Coordinator[Any, Any]:
    """The loop of a seed on its feeder; in a third of them the sun moves."""
    sun = sun_of(seed) if seed % 3 == 0 else None
    if seed % 2 == 0:
        return random_loop(feeder, seed, n_steps, sun)
    rng = np.random.default_rng([seed, 4])
    dt_s = (Fraction(1), Fraction(1), Fraction(2), Fraction(5))[rng.integers(4)]
    duration_s = float(n_steps * dt_s)
    grid = OpenDSSGrid(
        feeder=feeder, dt_s=dt_s, dss_controls=True, tolerance=TOLERANCE, max_iterations=500, own_sun_share=sun
    )
    begin, end = np.sort(rng.uniform(0, duration_s, 2))
    most = _BUNDLED[feeder.name][2]
    ramp = (int(rng.integers(1, most)), float(begin), float(end))
    replicas = ReplicaSchedule(int(rng.integers(1, most)), (ramp,))
    a = site("a", (replicas, most // 5), data=MEASURED, base_kw=float(rng.uniform(5, 30)), dt_s=dt_s, seed=seed)
    grid.attach_dc(a, bus=str(rng.choice(feeder.candidate_buses)))
    kind = rng.choice(["none", "ofo", "droop"])
    controllers = {"none": [], "ofo": [ofo], "droop": [droop]}[str(kind)]
    made = [make(grid, a, dt_s) for make in controllers]
    return Coordinator(datacenters=[a], grid=grid, controllers=made, total_duration_s=duration_s)


def sun_of(seed: int) -> HeldSeries:
    """Shares of the stated irradiance, some of them so low that inverters switch off."""
    rng = np.random.default_rng([seed, 5])
    return HeldSeries(tuple(rng.choice([0.0, 0.1, 0.3, 0.6, 0.8, 1.0, 1.1], 8)), float(rng.choice([5.0, 11.0])))


def sun_series(run: Coordinator[Any, Any], n_steps: int) -> Floats | None:
    """The share of the stated irradiance at every step, where the sun moves."""
    setup = run.grid.setup
    if setup.own_sun_share is None:
        return None
    return np.array(setup.own_sun_share.sun.at(np.arange(n_steps) * float(setup.dt_s)))


def draws_of(run: Coordinator[Any, Any], powers_w: Mapping[str, Floats]) -> list[Draw]:
    """What the loop's attachments drew at every step, for OpenDSS to draw again; `powers_w` (step, 3) by site."""
    assert isinstance(run.grid, OpenDSSGrid)
    setup = run.grid.setup
    n_steps = min(len(power) for power in powers_w.values())
    drawn = [(site, powers_w[site.datacenter.name][:n_steps] / 1e3) for site in setup.attached.sites]
    for one in setup.attached.profiles:
        kw = one.sign * np.array([one.profile.power_kw(float(step * setup.dt_s)) for step in range(n_steps)])
        drawn.append((one, np.repeat(kw[:, None], 3, axis=1)))
    return [
        Draw(f"x_{a.name}_{k}", a.bus, (pair[0], pair[1]), a.base_kv, a.window_pu, kw[:, k], a.tan_phi * kw[:, k])
        for a, kw in drawn
        for k, pair in enumerate(a.pairs)
    ]


@dataclass(frozen=True)
class Compared:
    """A loop on both sides: steps that agree, what moved in them, how far apart voltages and inverters were at most,
    and where and how the sides part, "" if nowhere; then also where OpenDSS parts from itself at a tighter tolerance.
    """

    n_steps: int
    tap_moves: int
    bank_moves: int
    var_moves: int
    voltage_pu: float
    inverter_kva: float
    difference: str
    difference_of_opendss: str
    failure: str
    failure_opendss: str


def compared_loop(feeder: Feeder, seed: int, edits: Sequence[str] = ()) -> Compared:
    """Run a loop on the batch engine, then its draws through OpenDSS in time, and compare every step; `edits` are
    commands for OpenDSS's circuit alone.

    Raises `UnsupportedByBatch` where the engine does not model the circuit.
    """
    coordinator = controlled_loop(feeder, seed)
    (run,) = run_batch([coordinator], trace=[0])
    assert run.trace is not None
    setup = coordinator.grid.setup
    powers_w = {name: site.power_w for name, site in run.trace.sites.items()}
    if run.failure is not None:
        powers_w = _one_more(feeder, seed, powers_w, len(run.trace.time_s))
    start = feeder.initial_taps.regulators if feeder.initial_taps is not None else {}
    draws = draws_of(coordinator, powers_w)
    circuit = (
        [*setup.commands(), *edits],
        draws,
        float(setup.dt_s),
        dict(start),
        sun_series(coordinator, len(draws[0].kw)),
    )
    other = run_in_time(*circuit, tolerance=TOLERANCE)
    nodes = [run.trace.nodes[k] for k in setup.monitored_nodes(run.trace.nodes)]
    base_v = {f"{bus}.{number}": 1e3 * feeder.buses[bus].kv_ln for bus, number in nodes}
    ours = _as_time_run(run)
    n, difference = parting(ours, other, base_v)
    of_opendss = ""
    if difference:
        tighter = run_in_time(*circuit, tolerance=0.1 * TOLERANCE)
        of_opendss = parting(tighter, other, base_v)[1]
    volts, units = _apart(ours, other, base_v, n)
    return Compared(
        n_steps=n,
        tap_moves=sum(int((np.abs(np.diff(rows[:n])) > TAP_ATOL_PU).sum()) for rows in ours.taps.values()),
        bank_moves=sum(int((np.diff(rows[:n]) != 0).sum()) for rows in ours.banks.values()),
        var_moves=sum(int((np.abs(np.diff(rows[:n, 1])) > KVA_ATOL).sum()) for rows in ours.units.values() if n),
        voltage_pu=float(volts.max(initial=0.0)),
        inverter_kva=max((float(rows.max(initial=0.0)) for rows in units.values()), default=0.0),
        difference=difference,
        difference_of_opendss=of_opendss,
        failure="" if run.failure is None else str(run.failure),
        failure_opendss=other.failure,
    )


def _one_more(feeder: Feeder, seed: int, powers_w: Mapping[str, Floats], n: int) -> dict[str, Floats]:
    """Draws of `n` steps and of the next one, which is in no trace as its controls did not come to rest.

    With more rounds allowed they come to rest there; where they do not, the other engine tells what was drawn.
    """
    patient = replace(feeder, commands=(*feeder.commands, "Set maxcontroliter=3000"))
    (run,) = run_batch([controlled_loop(patient, seed)], trace=[0])
    assert run.trace is not None
    more = {name: site.power_w for name, site in run.trace.sites.items()}
    if len(run.trace.time_s) <= n:
        single = run_single(controlled_loop(feeder, seed))
        more = {name: single.site(name).power_w for name in powers_w}
    return {name: np.concatenate([w[:n].reshape(n, 3), more[name][n : n + 1]]) for name, w in powers_w.items()}


def _as_time_run(run: BatchRun) -> TimeRun:
    """A run of the batch engine in OpenDSS's terms; `volts` in pu."""
    trace = run.trace
    assert trace is not None
    by_name = (
        {name: rows[:, k] for k, name in enumerate(names)} if len(rows) else {}
        for names, rows in (
            (trace.regulators, trace.taps_pu),
            (trace.banks, trace.banks_on.astype(float)),
            (trace.inverters, trace.inverter_kva),
        )
    )
    nodes = tuple(f"{bus}.{number}" for bus, number in trace.nodes)
    return TimeRun(nodes, trace.voltage_pu, *by_name, failure="" if run.failure is None else str(run.failure))


def _apart(one: TimeRun, other: TimeRun, base_v: Mapping[str, float], n: int) -> tuple[Floats, dict[str, Floats]]:
    """How far apart voltages (pu; step, node) and inverters (kVA; step, 2) are in the first `n` steps."""
    if not n:
        return np.zeros((0, 1)), {}
    magnitudes = []
    for run in (one, other):
        in_pu = run.volts.size and run.volts.max() < 10.0
        place = {name: k for k, name in enumerate(run.nodes)}
        columns = [run.volts[:n, place[name]] / (1.0 if in_pu else base) for name, base in base_v.items()]
        magnitudes.append(np.array(columns).T)
    return np.abs(magnitudes[0] - magnitudes[1]), {
        name: np.abs(rows[:n] - other.units[name][:n]) for name, rows in one.units.items()
    }


def parting(one: TimeRun, other: TimeRun, base_v: Mapping[str, float]) -> tuple[int, str]:
    """How many steps of two runs are equal, and what differs in the next one, "" if nothing does."""
    n = min(len(one.volts), len(other.volts))
    if n:
        assert (set(one.banks), set(one.units)) == (set(other.banks), set(other.units))
    volts, units = _apart(one, other, base_v, n)
    for step in range(n):
        taps = {name: float(rows[step] - other.taps[name][step]) for name, rows in one.taps.items()}
        words = [f"tap {name} by {by:+.5f}" for name, by in taps.items() if abs(by) > TAP_ATOL_PU]
        words += [f"bank {name}" for name, rows in one.banks.items() if rows[step] != other.banks[name][step]]
        words += [f"{name} by {max(by[step]):.1e} kVA" for name, by in units.items() if max(by[step]) > KVA_ATOL]
        worst = float(volts[step].max(initial=0.0))
        words += [f"voltages by {worst:.1e} pu"] if worst > VOLTAGE_ATOL_PU else []
        if words:
            return step, f"step {step}: {', '.join(words)}"
    return n, ""
