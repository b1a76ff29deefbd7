"""The look in coarse steps: which runs have one, and that an answer is the same wherever a search begins."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

import studies.hosting_capacity.search as search
from g2g_opt.scenario import Scenario
from studies.hosting_capacity.coarse_look import STEP_S, in_coarse_steps
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.hosting_capacity.work import search_aims


def test_an_hour_is_looked_at_in_ten_times_longer_steps() -> None:
    hour = Scenario()
    coarse = in_coarse_steps(hour)
    assert coarse is not None
    assert (coarse.dt_s, coarse.control_dt_s) == (STEP_S, STEP_S)
    assert replace(coarse, dt_s=hour.dt_s, control_dt_s=hour.control_dt_s) == hour


@pytest.mark.parametrize(
    "own", [{"duration_s": 590}, {"duration_s": 605}, {"dt_s": Fraction(5), "control_dt_s": Fraction(5)}]
)
def test_a_short_run_and_one_of_long_steps_have_none(own: dict[str, object]) -> None:
    assert in_coarse_steps(replace(Scenario(replica_ramps=()), **own)) is None  # type: ignore[arg-type]


def test_the_answer_is_the_same_without_a_coarse_look(monkeypatch: pytest.MonkeyPatch) -> None:
    ramps = ((100.0, 200.0, 1.0), (400.0, 500.0, 0.5))
    study = HostingCapacityStudy(
        buses=("671",), scenario=Scenario("short", 600, replica_ramps=ramps), ladder=False, operations=("firm",)
    )
    (aim,) = study.aims(("671",))
    (found,) = search_aims(study, {aim: None})
    monkeypatch.setattr(search, "in_coarse_steps", lambda scenario: None)
    (plain,) = search_aims(study, {aim: None})
    one, other = found.capacity, plain.capacity
    # Near a limit single sizes hold and break by turns: both answers are brackets of the resolution.
    assert abs(one.n_servers - other.n_servers) <= 2 * search.RESOLUTION * other.n_servers
    assert one.n_rejected is not None
    assert one.n_rejected - one.n_servers <= max(1, search.RESOLUTION * one.n_servers)
    # Everything that is told was run at every step.
    assert {run.scenario.dt_s for run in found.runs} == {Fraction(1)}
