"""Violations with a price: all rows pay in the year as in the program, against the feeder as it is, as OpenDSS has it.

The circuit has PV and storage of its own, which follow the sun and idle, as they do in every study of a year.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from replay_of_plans import Replay, cost_of_plan, replay
from study_run import results_of

from g2g_opt.limits import Limits
from studies.pv_datacenter_siting.hand_over import hand_over_texts
from studies.pv_datacenter_siting.operation_rows import AS_IT_IS, OperationRow, OtherPlanRow
from studies.pv_datacenter_siting.operation_words import foresight_words
from studies.pv_datacenter_siting.study import SitingStudy
from studies.pv_datacenter_siting.verdicts import judged_plans
from studies.shared.task import TaskResult
from studies.shared.typed_rows import gather_as

# Its end is under 0.95 pu in the evening, when there is no sun.
FEEDER = """Clear
New Circuit.evening basekv=11 pu=1.02 bus1=src mvasc3=300 mvasc1=250
New LineCode.main nphases=3 r1=0.4 x1=0.35 r0=0.8 x0=1.2 c1=8 c0=4 units=km normamps=300
New Line.l1 bus1=src bus2=mid linecode=main length=3 units=km
New Line.l2 bus1=mid bus2=far linecode=main length=3 units=km
New Load.mid bus1=mid kv=11 kW=1000 pf=0.95 vminpu=0.8
New Load.far bus1=far kv=11 kW=1950 pf=0.95 vminpu=0.8
New PVSystem.roof bus1=far phases=3 kv=11 kva=300 pmpp=300 irradiance=0.8 pf=0.95
New Storage.battery bus1=mid phases=3 kv=11 kwrated=100 kwhrated=400 %stored=50 dispmode=default state=discharging
Set VoltageBases=[11]
CalcVoltageBases
"""
SUN = [0.0] * 6 + [0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.9, 0.8, 0.7, 0.5, 0.3, 0.1] + [0.0] * 6
LOAD = [0.55] * 18 + [1.0] * 3 + [0.6] * 3
PRICE = 2_000.0


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[SitingStudy, tuple[TaskResult, ...]]:
    """A year of the same day again and again, so that a day on OpenDSS is all of it."""
    folder = tmp_path_factory.mktemp("priced")
    (folder / "evening.dss").write_text(FEEDER, encoding="utf-8")
    hours = [
        f"2023-{month:02d}-{day:02d}T{hour:02d}:00,{LOAD[hour]},{SUN[hour]}"
        for month, days in enumerate((31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31), start=1)
        for day in range(1, days + 1)
        for hour in range(24)
    ]
    (folder / "year.csv").write_text(
        "\n".join(["hour_beginning,load_share,generation_share", *hours]), encoding="utf-8"
    )
    study = SitingStudy(
        feeder=str(folder / "evening.dss"),
        profile=str(folder / "year.csv"),
        pv_count=1,
        pv_size_max_kw=1500.0,
        violations="priced",
        violation_cost_per_pu_h=PRICE,
        limits=Limits(loading_max_pu=None),
        n_windows=0,
        n_ties=3,
    )
    return study, tuple(results_of(study))


def test_the_money_of_violations_is_that_of_opendss(
    ran: tuple[SitingStudy, tuple[TaskResult, ...]], tmp_path: Path
) -> None:
    study, results = ran
    (best,) = [one for one in judged_plans(study, results) if one.held]
    row = best.row
    for name, text in hand_over_texts(study, row, gather_as(results, "operation", OperationRow)).items():
        (tmp_path / Path(name).name).write_text(text, encoding="utf-8")
    year = [_year_of_days(replay(tmp_path, 1.0, with_plan=own, n_hours=24)) for own in (True, False)]
    assert cost_of_plan(tmp_path, *year) == pytest.approx(row.cost, abs=2.0)
    rows = {one.what: one for one in gather_as(results, "operation", OperationRow)}
    for of_year, what in zip(year, ("the plan", AS_IT_IS), strict=True):
        assert rows[what].over_pu_h == pytest.approx(of_year.over_pu_h, rel=1e-4)
    # The evening has no sun: what is outside is so without the plan, which has not brought it and does not pay for it.
    assert row.over_pu_h == rows["the plan"].over_pu_h > 1.0
    assert row.cost_violation_paid == pytest.approx(PRICE * row.over_pu_h)
    assert row.cost_violation == pytest.approx(0.0, abs=1e-3 * row.cost_violation_paid)
    assert json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))["unit_costs"]["violation_per_pu_h"] == PRICE
    answer = study.conclude(results).answer
    assert f"pays {row.cost_violation_paid:,.0f} $ for it" in answer
    # As the bound counts: all that is paid, and no losses.
    assert row.foresight_bound is not None
    alike = row.cost - row.cost_violation + row.cost_violation_paid - row.cost_losses
    assert row.foresight_loss == pytest.approx(alike - row.foresight_bound)


def test_an_operation_that_is_ahead_of_the_bound_of_its_days_is_said_to_be(
    ran: tuple[SitingStudy, tuple[TaskResult, ...]],
) -> None:
    study, results = ran
    (best,) = [one for one in judged_plans(study, results) if one.held]
    words = foresight_words(replace(best.row, foresight_bound=-268_000.0, foresight_loss=-60.0))
    assert "this operation is 60 $ ahead of that bound" in words
    assert "-60" not in words
    assert "this operation is 60 $ behind" in foresight_words(replace(best.row, foresight_loss=60.0))


def _year_of_days(day: Replay) -> Replay:
    return replace(day, **{name: 365 * getattr(day, name) for name in ("over_pu_h", "usd", "losses_kwh", "pv_kwh")})


def test_a_plan_that_pays_for_violations_is_compared_with_others(
    ran: tuple[SitingStudy, tuple[TaskResult, ...]],
) -> None:
    """At the far bus PV saves more losses, which the program does not know."""
    study, results = ran
    (best,) = [one for one in judged_plans(study, results) if one.held]
    others = gather_as(results, "others", OtherPlanRow)
    assert best.row.pv == "far: 1500 kW"
    assert "mid: 1500 kW" in [one.pv for one in others]
    assert all(one.cost_more >= 0.0 for one in others if not one.taken)
