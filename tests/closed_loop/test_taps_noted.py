"""Taps of a circuit's own controls are read when OpenDSS says that its controls acted, and at no move's loss."""

from __future__ import annotations

from typing import Any

import pytest

from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.feeder import Feeder
from g2g_opt.grid.record import GridRecord
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.simulation import simulate_runs
from g2g_opt.tap_position import TapPosition
from studies.connection_queue.study import ConnectionQueueStudy


@pytest.mark.parametrize(("name", "bus", "dt_s"), [("ieee34", "840", 10), ("ieee13", "671", 10), ("ieee34", "840", 60)])
def test_the_run_is_that_of_taps_read_at_every_step(
    name: str, bus: str, dt_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = ConnectionQueueStudy(feeder=name, search_dt_s=dt_s)  # type: ignore[arg-type]
    plan = Plan((study.site("site", bus, study.load_models(), 40),), tap_mode="own control")
    scenario = study.coarse(study.scenarios("flexible", 1.0)[-1])
    moves: list[Any] = []
    solve = Circuit.solve

    def always_asked(circuit: Circuit, *, held: bool = False) -> None:
        solve(circuit, held=held)
        circuit.controls_acted = True

    def run(always: bool) -> Any:
        noted: list[Any] = []
        with monkeypatch.context() as patch:
            if always:
                patch.setattr(Circuit, "solve", always_asked)
            original = GridRecord.note_taps

            def spy(record: GridRecord, taps: TapPosition) -> None:
                noted.append((record.n_steps, taps))
                original(record, taps)

            patch.setattr(GridRecord, "note_taps", spy)
            (outcome,) = simulate_runs([(plan, scenario)], Feeder.load(name), Limits(), engine="opendss")
        moves.append(noted)
        return outcome.summary

    told, read = run(False), run(True)
    assert moves[0] == moves[1]
    assert len(moves[0]) > 1
    assert (told.lowest_pu == read.lowest_pu).all()
    assert (told.loading_pu == read.loading_pu).all()
