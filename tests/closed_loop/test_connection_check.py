"""Connection checks: yes and no are those of single runs, remedies are simulated, a limited profile holds."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import opendssdirect
import pytest
from study_run import results_of

from g2g_opt.errors import InputError
from g2g_opt.evaluation import evaluate
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario, TrainingOverlay
from g2g_opt.simulation import simulate
from g2g_opt.uncontrolled import replay_uncontrolled
from studies.connection_check.answer_remedies import _curtailed
from studies.connection_check.feeder_paths import FeederPaths
from studies.connection_check.judging import RequestJudge
from studies.connection_check.largest_transfer import TransferLimits
from studies.connection_check.question import ConnectionCheckQuestion
from studies.connection_check.remedy_candidates import RemedyPlace, list_remedies
from studies.connection_check.remedy_costs import UnitCosts
from studies.connection_check.rows import LimitedYearRow, RemedyRow, RequestRow, request_row
from studies.connection_check.study import ConnectionCheckStudy
from studies.load_profile.rows import FleetCellRow
from studies.shared.rejudging import conclude_under
from studies.shared.side_by_side import run_side_by_side
from studies.shared.tap_search import TapTrial
from studies.shared.typed_rows import gather_as

pytestmark = pytest.mark.xdist_group("connection check")  # one worker, so that its studies are run once

# Two minutes on the 13-bus feeder, where a trip's voltage change binds at 671 at about 1.4 MW.
ASKED = ConnectionCheckStudy(
    bus="671",
    mw=1.6,
    year=None,
    remedies=(),
    scenario=Scenario(duration_s=120, replica_ramps=((20.0, 40.0, 1.0),)),
    limits=Limits(rapid_voltage_change_max_pu=None),
)


run = cache(results_of)


def firm(study: ConnectionCheckStudy) -> RequestRow:
    return gather_as(run(study), "requests", RequestRow)[0]


@pytest.mark.parametrize("mw", [0.9, 1.6])
def test_yes_and_no_are_those_of_single_runs_of_that_size(mw: float) -> None:
    study = replace(ASKED, mw=mw)
    row, models, feeder = firm(study), study.load_models(), study.load_feeder()
    plan = Plan((study.site("site", "671", models, row.n_servers),), tap_mode="own control")
    for engine in ("batch", "opendss"):
        found = evaluate(plan, feeder, study.scenarios("firm"), study.limits, engine=engine)  # type: ignore[arg-type]
        assert found.accepted == row.kept == (mw < 1.2)
    assert mw <= study.full_draw_mw(row.n_servers, models) < mw + study.full_draw_mw(1, models)


def test_the_margin_ends_at_a_size_that_is_refused() -> None:
    row, study = firm(ASKED), ASKED
    assert (row.limit_used or 0.0) > 1.0
    assert row.margin_mw == pytest.approx((row.largest_mw or 0.0) - 1.6)
    sizes = (row.largest_n_servers, int(1.05 * row.largest_n_servers))
    accepted = [
        evaluate(
            Plan((study.site("site", "671", study.load_models(), n),), tap_mode="own control"),
            study.load_feeder(),
            study.scenarios("firm"),
            study.limits,
        ).accepted
        for n in sizes
    ]
    assert accepted == [True, False]


def test_the_nearest_limit_of_a_yes_is_one_that_the_site_moves_and_the_circuits_own_is_told_apart() -> None:
    study = replace(ASKED, mw=0.9)
    row = firm(study)
    assert row.kept
    assert (row.limit, row.next_limit) == ("voltage change at a trip",) * 2
    assert (row.limit_used_before, round(row.limit_used or 0.0, 1)) == (0.0, 0.6)
    # A branch of the circuit is loaded about as much by its own customers, and that is told of the circuit.
    assert (row.base_limit, round(row.base_limit_used or 0.0, 1)) == ("loading", 0.6)
    answer = study.conclude(run(study)).answer
    assert "bring nearest is voltage change at a trip" in answer
    assert f"without them the circuit is nearest to loading, {100 * (row.base_limit_used or 0.0):.0f} %" in answer


def test_a_load_level_is_that_of_the_limited_profile_too() -> None:
    scenario = replace(ASKED.scenario, own_load_share=0.7, standing_power=False)
    hours = replace(ASKED, year="hudson_valley_2018", scenario=scenario).profile_question().scenario
    assert (hours.own_load_share, hours.standing_power) == (0.7, False)


def test_a_request_is_judged_again_under_other_limits_as_a_fresh_one_is() -> None:
    strict = replace(ASKED.limits, rapid_voltage_change_trip_max_pu=0.012)
    again = conclude_under(replace(ASKED, mw=0.9), run(replace(ASKED, mw=0.9)), strict)
    fresh = firm(replace(ASKED, mw=0.9, limits=strict))
    (shown, _) = again.tables[0].rows
    assert (shown["answer"], fresh.kept) == ("no", False)
    assert (shown["limit"], shown["limit_where"], shown["limit_used"]) == (
        fresh.limit, fresh.limit_where, pytest.approx(fresh.limit_used)
    )  # fmt: skip
    assert "remedies and the limited profile" in {one.what for one in again.failures}
    # And the other way: what was refused is let in by the batch engine, and it is said that OpenDSS did not run it.
    lax = replace(ASKED.limits, rapid_voltage_change_trip_max_pu=0.06, voltage_max_pu=1.1, voltage_min_pu=0.9)
    (shown, _) = conclude_under(ASKED, run(ASKED), lax).tables[0].rows
    assert shown["answer"] == "yes"
    assert "OpenDSS ran only" in shown["note"]


def test_what_holds_in_motion_and_not_at_rest_is_refused() -> None:
    """Half of the replicas are passed through in seconds on the way, and a site may stay there for ever."""
    study = replace(ASKED, mw=1.0, limits=Limits(voltage_max_pu=1.045, violation_time_share_max=1.0))
    assert firm(study).kept
    strict = replace(study, limits=replace(study.limits, violation_time_share_max=0.5))
    assert [row["kept"] for row in run(strict)[0].rows("limits") if row["scenario"] == "at 0 of the replicas"]


def test_every_remedy_is_simulated_and_one_that_cures_does_so_by_itself() -> None:
    study = replace(ASKED, remedies=("set-points", "capacitor", "other bus", "rebalanced phases"), nearby=4)
    rows = gather_as(run(study), "remedies", RemedyRow)
    cured = [row for row in rows if row.cures]
    assert [(row.kind, row.engine) for row in cured] == [("other bus", "opendss")]
    bus = cured[0].words.split()[1].rstrip(",")
    assert firm(replace(study, bus=bus, remedies=())).kept
    # Of a kind that cannot: the one that is nearest, with what binds, from the cheapest on.
    banks = [row for row in rows if row.kind == "capacitor"]
    assert len(banks) > 3
    assert [row.annual_usd for row in banks] == sorted(row.annual_usd or 0.0 for row in banks)
    assert all(row.limit and row.limit_used and row.limit_used > 1.0 for row in banks)
    conclusion = study.conclude(run(study))
    (ways,) = (table for table in conclusion.tables if table.name == "ways")
    assert [way["answer"] for way in ways.rows][:2] == ["yes", "no"]
    assert f"other bus, {cured[0].words}" in conclusion.answer


OVERLOADED = """Clear
New Circuit.overloaded basekv=11 pu=1.02 bus1=src mvasc3=300 mvasc1=250
New LineCode.thin nphases=3 r1=0.4 x1=0.35 r0=0.8 x0=1.2 c1=0 c0=0 units=km normamps=120
New Line.first bus1=src bus2=mid linecode=thin length=1 units=km
New Line.second bus1=mid bus2=far linecode=thin length=1 units=km
New Load.mid bus1=mid kv=11 kW=1500 pf=0.95
Set VoltageBases=[11]
CalcVoltageBases
"""


def test_an_edit_of_the_circuit_that_cures_is_handed_over_as_commands(tmp_path: Path) -> None:
    """The first line is overloaded: new conductors carry more."""
    (tmp_path / "overloaded.dss").write_text(OVERLOADED, encoding="utf-8")
    study = replace(ASKED, feeder=str(tmp_path / "overloaded.dss"), bus="far", mw=1.2, remedies=("conductor",))
    assert firm(study).limit_element == "line.first"
    conclusion = study.conclude(run(study))
    text = conclusion.texts["remedies/conductor.dss"]
    (cured,) = (row for row in gather_as(run(study), "remedies", RemedyRow) if row.cures)
    feeder = study.load_feeder().extended([line for line in text.splitlines() if not line.startswith("!")])
    plan = Plan((study.site("site", "far", study.load_models(), firm(study).n_servers),), tap_mode="own control")
    assert evaluate(plan, feeder, study.scenarios("firm"), study.limits).accepted
    assert 0.0 < (cured.annual_usd or 0.0) < (cured.capital_usd or 0.0)


def test_a_limited_profile_holds_and_says_what_is_not_drawn(tmp_path: Path) -> None:
    hours = [f"2024-07-01T{hour:02d}:00,{0.6 + 0.5 * (hour == 18)},0.0" for hour in range(24)]
    (tmp_path / "day.csv").write_text("\n".join(["hour_beginning,load_share,generation_share", *hours]))
    limits = Limits(rapid_voltage_change_trip_max_pu=None, rapid_voltage_change_max_pu=None)
    study = replace(ASKED, mw=2.8, limits=limits, year=str(tmp_path / "day.csv"))
    (year,) = gather_as(run(study), "limited_years", LimitedYearRow)
    profile = gather_as(run(study), "profile", FleetCellRow)
    assert len(profile) == 24
    limited = [row.hour for row in profile if row.power_mw < 0.99 * max(one.power_mw for one in profile)]
    assert limited == [18]
    assert year.hours_limited == 1
    lost = sum(max(one.power_mw for one in profile) - row.power_mw for row in profile)
    assert year.energy_lost_mwh == pytest.approx(lost, abs=0.05)
    assert min(row.lowest_pu for row in profile) >= 0.95
    least = min(row.power_mw for row in profile)
    # "At most 2.31 MW and more" it said.
    words = f"less than its full draw in 1 of 24 hours, {least:.2f} MW at the least, {year.energy_lost_mwh:.0f} MWh"
    assert _curtailed(year).words.startswith(words)


def test_investments_are_annualised() -> None:
    costs = UnitCosts.load("bundled")
    found = costs.of((("capacitor bank", 1.0), ("capacitor kvar", 300.0)), 0.07)
    assert found.capital_usd == 8000 + 300 * 12
    assert found.annual_usd == pytest.approx(300 + 11600 * 0.07 / (1 - 1.07**-25))
    assert found.parts[1] == "300 kvar of capacitor kvar at 12 $ (our planning figure: cans and switches)"


def test_every_bundled_unit_cost_says_where_it_comes_from_and_a_table_of_ones_own_need_not(tmp_path: Path) -> None:
    costs = UnitCosts.load("bundled")
    assert all(unit.basis.startswith("our planning figure: ") for unit in costs.items)
    (tmp_path / "mine.csv").write_text(
        "item,unit,capital_usd,annual_usd,lifetime_years\nset-point visit,regulator,900,0,10\n"
    )
    mine = UnitCosts.load(str(tmp_path / "mine.csv")).of((("set-point visit", 3.0),), 0.07)
    assert mine.parts == ("3 regulator of set-point visit at 900 $",)
    with pytest.raises(InputError, match="no item 'moved load'"):
        UnitCosts.load(str(tmp_path / "mine.csv")).check(["moved load"])


def test_ways_through_a_feeder_follow_its_lines() -> None:
    paths = FeederPaths(ASKED.load_feeder())
    assert [branch.name for branch in paths.from_source("671")][-3:] == ["650632", "632670", "670671"]
    far = paths.distances_km("671")
    assert far["670"] == pytest.approx(1333 * 0.0003048)
    assert far["692"] < 0.01


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"bus": ""}, "say where"),
        ({"bus": "nowhere"}, "nowhere"),
        ({"mw": 1e-4}, "less than the smallest site"),
        ({"utilisation": (0.8, 0.2)}, "least share of the replicas to a larger one"),
        ({"costs": "missing.csv"}, "missing.csv"),
    ],
)
def test_a_question_that_cannot_be_is_refused(changed: dict[str, object], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        replace(ASKED, **changed).check()  # type: ignore[arg-type]


def test_the_default_question_asks_for_a_bus() -> None:
    assert ConnectionCheckQuestion().remedies
    with pytest.raises(InputError, match="--bus"):
        ConnectionCheckStudy().check()


def test_a_flexible_site_draws_no_more_than_it_was_granted() -> None:
    """OFO raises batch sizes where voltages allow it, and a site draws more than was asked for: 9 % at 0.9 MW."""
    study = replace(ASKED, mw=0.9)
    feeder, models = study.load_feeder(), study.load_models()
    judge = RequestJudge(study, "671", models)
    n_servers = study.servers_for(0.9, models)
    free = Plan((study.site("site", "671", models, n_servers),), policy=study.policy, tap_mode="own control")
    (above,) = simulate([free], study.scenarios("flexible"), feeder, study.limits)
    assert max(run.summary.sites[0].power_peak_mw for run in above) > 1.05 * 0.9
    (judged,) = run_side_by_side(study, feeder, [judge.asked(n_servers, "flexible")])
    assert judged.confirmed
    peaks = [run.summary.sites[0].power_peak_mw for run in (*judged.trial.runs, *judged.confirmed)]
    row = request_row(judged, "671", 0.9, study.full_draw_mw(n_servers, models), study.limits)
    assert row.kept
    assert row.cap_mw == pytest.approx(study.full_draw_mw(n_servers, models), rel=0.005)
    assert (row.power_peak_mw, row.power_peak_mw <= row.cap_mw) == (max(peaks), True)
    # One that did draw more is refused, by that and by nothing else.
    over = replace(judged, trial=TapTrial.of(free, above))
    assert over.trial.kept
    assert not over.kept
    assert request_row(over, "671", 0.9, 0.9, study.limits).above_cap


def test_training_beside_the_replicas_is_part_of_what_a_request_draws() -> None:
    study = replace(ASKED, scenario=replace(ASKED.scenario, training=(TrainingOverlay(30.0, 110.0, gpu_share=0.3),)))
    models = study.load_models()
    n_servers = study.servers_for(1.0, models)
    assert n_servers < ASKED.servers_for(1.0, models)
    peaks = [
        replay_uncontrolled(study.site("site", "671", models, n_servers), scenario, Path(study.trace_dir)).power_peak_mw
        for scenario in study.scenarios("firm")
    ]
    assert 0.9 < max(peaks) < 1.01 * study.full_draw_mw(n_servers, models)


def test_what_no_circuit_can_bring_to_a_bus_is_refused_before_anything_runs() -> None:
    with pytest.raises(InputError, match=r"9000 MW are beyond .* bus 671: behind 0\.464 ohm .* 13\.4 MW are the most"):
        replace(ASKED, mw=9000.0).check()


def test_the_most_a_bus_can_be_brought_is_that_of_a_two_bus_circuit(tmp_path: Path) -> None:
    """A source of 1.1 pu behind 0.5 + 1j ohm: beyond P = V^2 cos(phi) / (2 (|Z| + R cos(phi) + X sin(phi))) no load is
    served, and just below it OpenDSS serves one."""
    file = tmp_path / "two.dss"
    file.write_text(
        "New Circuit.two bus1=head basekv=10 pu=1.1 Z1=(0.0001,0.0001) Z0=(0.0001,0.0001)\n"
        "New Line.way bus1=head bus2=end r1=0.5 x1=1 r0=0.5 x0=1 c1=0 c0=0 length=1\n"
        "Set VoltageBases=[10]\nCalcVoltageBases\n",
        encoding="utf-8",
    )
    most = TransferLimits(Feeder.from_dss(file)).at("end", 0.95)
    assert most is not None
    sine = math.sqrt(1.0 - 0.95**2)
    by_hand = 11.0**2 * 0.95 / (2.0 * (math.hypot(0.5, 1.0) + 0.5 * 0.95 + sine))
    assert most.power_max_mw == pytest.approx(by_hand, rel=1e-3)
    served = {}
    for share in (0.98, 1.02):
        engine = opendssdirect.dss.NewContext()
        engine.Text.Command("Clear")
        for line in file.read_text(encoding="utf-8").splitlines():
            engine.Text.Command(line)
        kw = 1e3 * share * by_hand
        engine.Text.Command(f"New Load.l bus1=end kv=10 kW={kw} pf=0.95 vminpu=0.1 model=1")
        engine.Text.Command("Set MaxIter=2000")
        engine.Solution.Solve()
        served[share] = bool(engine.Solution.Converged())
    assert served == {0.98: True, 1.02: False}


def test_two_remedies_do_in_plain_opendss_what_is_said_of_them(tmp_path: Path) -> None:
    """3 MW at 671 are 2.5 to 3 % too much for the substation's transformer; 450 kvar there, or bus 670, let them in."""
    study = replace(ASKED, mw=3.0, scenario=replace(ASKED.scenario, standing_power=False))
    feeder, models = study.load_feeder(), study.load_models()
    plan = RequestJudge(study, "671", models).plan(study.servers_for(3.0, models), "firm")
    place = RemedyPlace(feeder, feeder.bus("671"), 8)
    bank = next(one for one in list_remedies("capacitor", place).remedies if "450 kvar" in one.words)
    other = next(one for one in list_remedies("other bus", place).remedies if one.bus == "670")
    master = feeder.write_dss(tmp_path)
    full = study.rests(study.scenario)[-1:]
    found = []
    for remedy in (None, bank, other):
        changed = remedy.feeder(feeder) if remedy is not None else feeder
        planned = remedy.plan(plan) if remedy is not None else plan
        ((run,),) = simulate([planned], full, changed, study.limits, engine="opendss")
        heaviest = run.summary.worst_loading()
        assert heaviest is not None
        assert heaviest.branch == "transformer.sub"
        engine = opendssdirect.dss.NewContext()
        commands = [f"Redirect {master}", *(remedy.edits if remedy is not None else ())]
        commands += [
            f"New Load.site bus1={planned.sites[0].bus}.1.2.3 phases=3 kv=4.16 kW=3000 pf=0.95 model=1 vminpu=0.7",
            "Set ControlMode=Static MaxControlIter=200",
        ]
        for command in commands:
            engine.Text.Command(command)
        engine.Solution.Solve()
        assert engine.Solution.Converged()
        engine.Circuit.SetActiveElement("Transformer.sub")
        # The wye side: its amperes are those of the rated 115 kV side by the ratio.
        amperes = np.abs(np.array(engine.CktElement.Currents()).view(complex))[4:7]
        plain = float(amperes.max() / (engine.CktElement.NormalAmps() * 115.0 / 4.16))
        assert heaviest.loading_pu == pytest.approx(plain, rel=0.01)
        found.append((plain, heaviest.loading_pu))
    assert [(plain > 1.0, ours > 1.0) for plain, ours in found] == [(True, True), (False, False), (False, False)]


def test_a_larger_fuse_lets_in_what_a_smaller_one_does_not(tmp_path: Path) -> None:
    """Fuses of 40 and 25 A melt from 80 and 50 A on; 1,000 kW and a site of 0.9 MW are 93 A, as OpenDSS finds."""
    text = """Clear
New Circuit.fused basekv=12.47 bus1=grid MVAsc3=300 MVAsc1=300
New Line.l1 bus1=grid bus2=mid length=1 units=km r1=0.1 x1=0.1 r0=0.1 x0=0.1 normamps=600
New Line.l2 bus1=mid bus2=far length=1 units=km r1=0.1 x1=0.1 r0=0.1 x0=0.1 normamps=600
New Load.d bus1=far kv=12.47 kw=1000 pf=0.95
New Fuse.a monitoredobj=Line.l1 ratedcurrent=40
New Fuse.b monitoredobj=Line.l2 ratedcurrent=25
Set VoltageBases=[12.47]
CalcVoltageBases
"""
    path = tmp_path / "fused.dss"
    path.write_text(text, encoding="utf-8")
    study = replace(ASKED, feeder=str(path), bus="far", mw=0.9, remedies=("fuse",))
    results = run(study)
    asked = gather_as(results, "requests", RequestRow)[0]
    assert not asked.kept
    assert "fuse." in asked.broken
    rows = gather_as(results, "remedies", RemedyRow)
    (cure,) = [row for row in rows if row.cures]
    assert "fuses of 50 A in place of a (40 A), b (25 A)" in cure.words
    for size, opens in ((40, True), (50, False)):
        engine = opendssdirect.dss.NewContext()
        for line in text.splitlines():
            engine.Text.Command(line.replace("ratedcurrent=40", f"ratedcurrent={size}"))
        engine.Text.Command(f"Fuse.b.ratedcurrent={size}")
        engine.Text.Command("New Load.site bus1=far kv=12.47 kW=900 pf=0.95 model=1 vminpu=0.7")
        engine.Text.Command("Set ControlMode=Static")
        engine.Solution.Solve()
        states = []
        for fuse in "ab":
            engine.Text.Command(f"? Fuse.{fuse}.state")
            states.append(engine.Text.Result())
        assert any("open" in state for state in states) == opens
