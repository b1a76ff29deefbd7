"""Batch runs against runs of the coordinator on OpenDSS, step by step: recorded cases and random scenarios; and what a
run's neighbours in a batch must not change.

Voltages agree to a few billionths of a unit, everything else to rounding. Only a batch size that is rounded from an
iterate between two sizes may part two runs; where one does, the iterate lay on the midpoint for all that the voltages
can say.
"""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from batch_parts import droop, loop, ofo, site
from engine_pair import (
    TIE,
    Agreement,
    Iterates,
    Parting,
    SingleRun,
    assert_same_until_a_tie,
    compare,
    differences,
    run_single,
)
from engine_replays import shown_controllers, told_run
from openg2g_case import build_case, case_names
from random_runs import build, random_tasks

from g2g_opt.batch.grids import Grids
from g2g_opt.batch.simulator import BatchRun, batch_key, run_batch
from g2g_opt.controller.adaptive_tap import AdaptiveTapConfig, AdaptiveTapController
from g2g_opt.coordinator import Coordinator
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.simulation import simulate

# Random scenarios compared on each feeder; 200 takes about a minute.
N_RANDOM = int(os.environ.get("G2G_RANDOM_RUNS", "25"))
# What OpenDSS's own rounding is worth: it leaves the 13-bus feeder by a billionth whatever its tolerance.
ROUNDING_PU = 1e-8

# --- recorded cases

TIGHT = {"tolerance": 1e-10, "max_iterations": 500}
PARTED = ("ieee13_ofo", "ieee13_taps_droop")


@dataclass(frozen=True, eq=False)
class Recorded:
    """A recorded case on both engines; `slopes` (node, 3) are those that the batch run measured at each site."""

    name: str
    single: SingleRun
    run: BatchRun
    slopes: list[np.ndarray]


def recorded(name: str) -> Recorded:
    measured: list[np.ndarray] = []
    measure = Grids.slopes

    def watched(*arguments: Any) -> np.ndarray:
        measured.append(measure(*arguments))
        return measured[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Grids, "slopes", watched)
        (run,) = run_batch([build_case(name, **TIGHT).coordinator], trace=[0])
    slopes = [measured[0][:, :, k] for k in range(measured[0].shape[2])] if measured else []
    return Recorded(name, run_single(build_case(name, **TIGHT).coordinator), run, slopes)


@pytest.mark.parametrize("name", case_names())
def test_a_recorded_case_is_the_same_up_to_a_rounded_batch_size_and_explained_beyond_it(name: str) -> None:
    case = recorded(name)
    agreement = compare(case.single, case.run)
    assert agreement.voltage_pu < ROUNDING_PU
    sent = assert_the_single_runs_controllers_send_the_batch_runs_sizes(case)
    if name not in PARTED:
        assert (agreement.n_steps, agreement.partings) == (3600, ())
        return
    assert agreement.n_steps > 1000
    assert_opendss_told_the_batch_runs_sizes_has_its_voltages(case)
    for parting in agreement.partings:
        assert name == "ieee13_ofo" or parting.distance < TIE
        assert_the_voltages_difference_moves_the_iterate_over_the_midpoint(case, parting, sent[parting.site][1])


def assert_the_single_runs_controllers_send_the_batch_runs_sizes(case: Recorded) -> dict[str, Any]:
    """At every step to the end, when they are shown the batch run's voltages, slopes, replicas and latencies."""
    sent = shown_controllers(build_case(case.name, **TIGHT).coordinator, case.run.trace, case.slopes)
    assert bool(sent) == (not case.name.endswith("noop"))
    for site_name, (sizes, _) in sent.items():
        np.testing.assert_array_equal(sizes[:-1], case.run.trace.sites[site_name].batch_size[1:])
    return sent


def assert_opendss_told_the_batch_runs_sizes_has_its_voltages(case: Recorded) -> None:
    """At every step to the end, with the controllers of other things as they were."""
    told = run_single(told_run(build_case(case.name, **TIGHT).coordinator, case.run.trace))
    agreement = compare(told, case.run)
    assert (agreement.n_steps, agreement.partings) == (3600, ())
    assert agreement.voltage_pu < ROUNDING_PU


def assert_the_voltages_difference_moves_the_iterate_over_the_midpoint(
    case: Recorded, parting: Parting, shown: Iterates
) -> None:
    """Shown the batch run's voltages, a billionth away, the single run's own controller rounds as the batch run did.

    In the OFO case the loop itself magnifies that billionth, to 3e-3 doublings after 800 steps with multipliers: two
    OpenDSS runs at tolerances of 1e-9 and 1e-12 part at about the same time.
    """
    midpoint = (parting.single + parting.batch) / 2
    on_opendss = 2.0 ** case.single.iterates[parting.site].behind(parting.step, parting.label)
    on_batch = 2.0 ** shown.behind(parting.step, parting.label)
    assert (on_opendss > midpoint) == (parting.single > parting.batch)
    assert (on_batch > midpoint) == (parting.batch > parting.single)
    assert abs(np.log2(on_batch / on_opendss)) < 5e-3
    sizes = build_case(case.name).specs[parting.label].feasible_batch_sizes
    neighbours = {max(b for b in sizes if b < midpoint), min(b for b in sizes if b > midpoint)}
    assert {parting.single, parting.batch} == neighbours


# --- random scenarios


@pytest.mark.parametrize("name", ["ieee13", "ieee34", "ieee123"])
def test_random_scenarios_are_the_same_up_to_a_tie(name: str) -> None:
    feeder = Feeder.load(name)
    tasks = list(random_tasks(feeder, N_RANDOM, seed=2024))
    batches: dict[Any, list[int]] = {}
    for i, task in enumerate(tasks):
        batches.setdefault(batch_key(build(feeder, *task)), []).append(i)
    found: list[Agreement] = []
    n_changes = 0
    for members in batches.values():
        runs = run_batch([build(feeder, *tasks[i]) for i in members], trace=range(len(members)))
        for i, run in zip(members, runs, strict=True):
            single = run_single(build(feeder, *tasks[i]))
            assert (single.failure, run.failure) == (None, None), tasks[i]
            found.append(assert_same_until_a_tie(single, run))
            n_changes += sum(int(np.count_nonzero(np.diff(s.batch_size, axis=0))) for s in run.trace.sites.values())
    assert len(found) == N_RANDOM
    assert max(agreement.voltage_pu for agreement in found) < ROUNDING_PU
    assert n_changes > 2 * N_RANDOM
    # A tie is rare: were it the usual way out, little would have been compared.
    assert sum(bool(agreement.partings) for agreement in found) <= max(1, N_RANDOM // 50)


# --- alone and in company


def mixed() -> list[Callable[[], Coordinator[Any, Any]]]:
    """Runs of one key that use the engine in different ways."""

    def low(a: float) -> dict[str, Any]:
        return {"initial_tap_position": feeder_taps(a), "tolerance": 1e-6}

    def adaptive(grid: Any, sites: Any) -> list[Any]:
        config = AdaptiveTapConfig(cooldown_s=4.0, v_min=1.0, v_max=1.03)
        return [AdaptiveTapController(grid=grid, config=config), *(droop(grid, dc) for dc in sites.values())]

    def all_ofo(**config: Any) -> Callable[[Any, Any], list[Any]]:
        return lambda grid, sites: [ofo(grid, dc, **config) for dc in sites.values()]

    heavy, light = {"671": (1100, 220)}, {"675": (200, 20), "632": (300, 90), "680": (100, 10)}

    def run(places: dict[str, tuple[int, int]], tap: float, rig: Any = lambda grid, sites: []) -> Any:
        return lambda: loop({bus: site(f"at{bus}", n) for bus, n in places.items()}, rig, duration_s=30, **low(tap))

    return [
        run(heavy, 1.05),
        run(light, 1.05),
        run(heavy, 1.05, all_ofo(voltage_dual_step_size=0.01)),
        run(light, 1.0, all_ofo(sensitivity_update_interval=4)),
        run(heavy, 1.0, lambda grid, sites: [droop(grid, sites["671"])]),
        run(light, 1.025, adaptive),
        run({"671": (14000, 3000)}, 1.05, all_ofo()),
        run({"633": (20, 3)}, 1.0875),
    ]


def feeder_taps(ratio: float) -> Any:
    from g2g_opt.tap_position import TapPosition

    return TapPosition(regulators=dict.fromkeys(("creg1a", "creg1b", "creg1c"), ratio))


def assert_identical(got: BatchRun, expected: BatchRun) -> None:
    assert got.failure == expected.failure
    assert (got.summary is None) == (expected.summary is None)
    if got.summary is not None and expected.summary is not None:
        assert differences(got.summary, expected.summary) == []
    assert differences(got.trace, expected.trace) == []


def test_a_run_is_the_same_to_the_last_bit_alone_among_others_reversed_and_among_its_own_doubles() -> None:
    builds = mixed()
    alone = [run_batch([make()], trace=[0])[0] for make in builds]
    assert [run.failure is None for run in alone] == [True] * 6 + [False, True]
    orders = {
        "together": list(range(8)),
        "reversed": list(range(8))[::-1],
        "doubled": [0, 2, 2, 5, 2, 0, 3, 6, 6, 1],
        "many": [*range(8)] * 5,
    }
    for order in orders.values():
        runs = run_batch([builds[i]() for i in order], trace=range(len(order)))
        for i, run in zip(order, runs, strict=True):
            assert_identical(run, alone[i])


def test_one_coordinator_may_be_run_by_both_engines_and_twice_in_one_batch() -> None:
    """A batch begins at the beginning, wherever a run before has left the parts."""
    make = mixed()[4]
    (fresh,) = run_batch([make()], trace=[0])
    used = make()
    run_single(used)
    assert used.datacenters[0].commanded_batch_size_by_model != used.datacenters[0].workload.initial_batch_sizes
    for run in run_batch([used, used], trace=[0, 1]):
        assert_identical(run, fresh)


def test_simulate_gives_the_same_with_two_workers() -> None:
    feeder = Feeder.load("ieee13")
    tasks = list(random_tasks(feeder, 6, seed=5))
    plans, scenario = [plan for plan, _ in tasks], tasks[0][1]
    one, two = (simulate(plans, [scenario], feeder, Limits(), workers=n) for n in (1, 2))
    opendss = simulate(plans, [scenario], feeder, Limits(), engine="opendss")
    for (a,), (b,), (c,) in zip(one, two, opendss, strict=True):
        assert a.engine == b.engine == "batch"
        assert differences(a.summary, b.summary) == []
        assert a.checks == b.checks
        assert differences(a.summary, b.summary) == []
        assert a.summary.nodes == b.summary.nodes == c.summary.nodes
        np.testing.assert_allclose(a.summary.lowest_pu, c.summary.lowest_pu, rtol=0, atol=2e-6)
        assert a.kept == c.kept


# --- memory


def test_memory_does_not_grow_with_the_number_of_steps() -> None:
    def peak_bytes(duration_s: int) -> int:
        sites = [{"671": site("a", (900 + k, 150)), "675": site("b", (100, 20 + k))} for k in range(6)]
        runs = [
            loop(places, lambda grid, dcs: [ofo(grid, dc) for dc in dcs.values()], duration_s=duration_s)
            for places in sites
        ]
        tracemalloc.start()
        run_batch(runs)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(20)
    # Steps are laid out 1024 at a time: both runs hold as many.
    short, long = peak_bytes(1030), peak_bytes(1530)
    # One figure a step and site would be 48 kB.
    assert long - short < 20_000
