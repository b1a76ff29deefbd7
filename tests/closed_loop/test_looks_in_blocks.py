"""On OpenDSS, controllers that look at a block of solutions do the very same as those that step at every tick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from g2g_opt.assembly import Assembly, assemble
from g2g_opt.clock import SimulationClock
from g2g_opt.controller.ofo import OFOBatchSizeController
from g2g_opt.datacenter.offline import OfflineDatacenter
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.errors import PowerFlowError
from g2g_opt.events import EventEmitter
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.limits import Limits
from g2g_opt.plan import AdaptiveTaps, Plan, Policy
from g2g_opt.scenario import Scenario
from g2g_opt.scenario_draws import ScenarioRanges
from g2g_opt.site import BASE_KW_PER_GPU, sized_site
from g2g_opt.study_case import StudyCase
from studies.shared.screening import draw_candidates

CASE = StudyCase.load("ieee13")
# Ramps go both ways, and models begin at several sizes, so that there is much to command.
(SCENARIO,) = draw_candidates(
    CASE,
    Scenario(duration_s=700),
    ScenarioRanges(ramp_up_share=0.5, start_batch_sizes=(32, 64, 128)),
    "test",
    10_006,
    1,
)
OFO = Policy("ofo")
FULL = Scenario(duration_s=60, replica_share_start=1.0, replica_ramps=(), seed=3)


def of_case(policy: Policy = OFO, **changes: object) -> Callable[[], Assembly]:
    """Sites of a case whose controllers are at work."""
    plan = replace(CASE.plan, policy=policy, **changes)  # type: ignore[arg-type]
    return lambda: assemble(plan, SCENARIO, CASE.feeder, Limits(), record_loading=True)


def two_sites() -> Assembly:
    """Two sites, so that the first to command ends the block of both."""
    models = [(measured_spec("llama-3.1-70b", gpu="H100"), 64)]
    sites = tuple(
        sized_site(f"site-{bus}", bus, models, n, base_kw_per_gpu=BASE_KW_PER_GPU)
        for bus, n in (("671", 150), ("675", 120))
    )
    return assemble(Plan(sites, policy=OFO), Scenario(duration_s=700), CASE.feeder, Limits(), record_loading=True)


def too_large() -> Assembly:
    """A site that the circuit serves until its replicas have ramped up."""
    site = sized_site("site", "671", [(measured_spec("llama-3.1-70b", gpu="H100"), 64)], 3000, BASE_KW_PER_GPU)
    ramps = replace(FULL, replica_share_start=0.2, replica_ramps=((20.0, 55.0, 1.0),))
    return assemble(Plan((site,), policy=OFO), ramps, CASE.feeder, Limits(), record_loading=True)


def all_of(run: Assembly) -> tuple[list[object], int]:
    """Everything that a run leaves, and how many commands there were."""
    failure = None
    try:
        log = run.coordinator.run()
    except PowerFlowError as error:
        log, failure = None, error.failure
    record = run.grid.solved_record
    found: list[object] = [failure, record.n_steps, record.tap_moves]
    try:
        found += [record.time_s.tolist(), record.voltage_pu.tobytes(), record.loading_pu.tobytes()]
    except PowerFlowError as error:
        found.append(error.failure)
    for site in run.datacenters.values():
        n = record.n_steps
        rows = (site.record.power_w, site.record.batch_size, site.record.replicas, site.record.itl_s)
        found += [array[:n].tobytes() for array in rows]
    found += [c.exhausted_at_s for c in run.coordinator.controllers if isinstance(c, OFOBatchSizeController)]
    if log is None:
        return found, 0
    told = [(event.t_s, event.source, event.topic) for event in log.events]
    commands = [(type(command).__name__, getattr(command, "batch_size_by_model", None)) for command in log.commands]
    return [*found, log.time_s, log.command_time_s, commands, told], len(commands)


RUNS = {
    "a case": of_case(),
    "taps that move every five seconds": of_case(replace(OFO, adaptive_taps=AdaptiveTaps(Fraction(5), 60.0))),
    "the circuit's own controls": of_case(taps=(), tap_mode="own control"),
    "two sites": two_sites,
    "no solution at the end": too_large,
}


@pytest.mark.parametrize("name", RUNS)
def test_a_block_that_is_looked_at_is_the_same_as_tick_by_tick(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks: list[int] = []
    advance = OpenDSSGrid.advance_block

    def counted(grid: OpenDSSGrid, *arguments: object) -> int:
        made = advance(grid, *arguments)  # type: ignore[arg-type]
        blocks.append(made)
        return made

    monkeypatch.setattr(OpenDSSGrid, "advance_block", counted)
    in_blocks, n_commands = all_of(RUNS[name]())
    assert blocks
    assert (n_commands > 0) == (in_blocks[0] is None)
    monkeypatch.setattr(OFOBatchSizeController, "looks_ahead", property(lambda controller: 0))
    n_blocks = len(blocks)
    by_tick, _ = all_of(RUNS[name]())
    assert len(blocks) == n_blocks
    assert in_blocks == by_tick


def test_a_step_put_in_the_place_of_a_controllers_own_is_called_at_every_tick() -> None:
    run, seen = two_sites(), []
    controller = run.coordinator.controllers[0]
    act = controller.step

    def watched(clock: SimulationClock, events: EventEmitter) -> list[Any]:
        seen.append(clock.step)
        return list(act(clock, events))

    controller.step = watched  # type: ignore[method-assign]
    assert all_of(run) == all_of(two_sites())
    assert seen == list(range(700))


def test_what_a_datacenter_of_ones_own_shows_is_what_the_controller_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    class Idle(OfflineDatacenter):
        """Shows no replicas."""

        def observe(self, labels: Sequence[str]) -> tuple[Any, Any]:
            replicas, itl_s = super().observe(labels)
            return 0 * replicas, itl_s

    def idle() -> Assembly:
        run = two_sites()
        for site in run.datacenters.values():
            site.__class__ = Idle
        return run

    found, _ = all_of(idle())
    assert found != all_of(two_sites())[0]
    monkeypatch.setattr(OFOBatchSizeController, "looks_ahead", property(lambda controller: 0))
    assert found == all_of(idle())[0]


def test_slopes_that_are_measured_again_end_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured_often() -> Assembly:
        run = two_sites()
        for controller in run.coordinator.controllers:
            if isinstance(controller, OFOBatchSizeController):
                controller.config = replace(controller.config, sensitivity_update_interval=37)
        return run

    in_blocks, n_commands = all_of(measured_often())
    monkeypatch.setattr(OFOBatchSizeController, "looks_ahead", property(lambda controller: 0))
    assert n_commands > 0
    assert in_blocks == all_of(measured_often())[0]
