"""Runs beside the feeder without sites: what `simulate` keeps of it, and what plain OpenDSS says of the answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from plain_opendss import solve

from g2g_opt.base_case import solve_base_case
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.evaluation import evaluate
from g2g_opt.feeder import Feeder
from g2g_opt.judge import Criterion
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import Bases, Engine, simulate
from g2g_opt.site import sized_site
from studies.hosting_capacity.rows import CapacityRow
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.shared.task import TaskResult
from studies.shared.typed_rows import gather_as

pytestmark = pytest.mark.xdist_group("no worse")  # one worker, so that its fixture is made once

# The customers at "weak" are at 0.94 pu without any site, behind a line of their own; "strong" is next to the source.
WEAK_SIDE = """Clear
New Circuit.weakside basekv=12.47 bus1=head mvasc3=2000 mvasc1=2000
New Line.a bus1=head bus2=mid r1=0.1 x1=0.2 r0=0.3 x0=0.6 normamps=400 length=1
New Line.b bus1=mid bus2=weak r1=2.0 x1=2.2 r0=4 x0=5 normamps=400 length=1
New Line.c bus1=head bus2=strong r1=0.1 x1=0.2 r0=0.3 x0=0.6 normamps=400 length=1
New Load.w bus1=weak kv=12.47 kw=3000 pf=0.95 vminpu=0.7
New Load.s bus1=strong kv=12.47 kw=500 pf=0.95 vminpu=0.7
Set VoltageBases=[12.47]
CalcVoltageBases
"""
RUN = Scenario("steady", 20, replica_share_start=1.0, replica_ramps=(), server_spread=0.0, server_noise=0.0)
MODEL = measured_spec("llama-3.1-70b", gpu="H100")
NO_WORSE = Limits(base_rule="no-worse")


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weak") / "weakside.dss"
    path.write_text(WEAK_SIDE)
    return path


def site_at(bus: str, n_servers: int) -> Plan:
    return Plan((sized_site("site", bus, [(MODEL, 128)], n_servers, 0.5),))


@pytest.mark.parametrize("engine", ["batch", "opendss"])
def test_a_feeder_without_sites_runs_on_either_engine_as_its_base_case(engine: Engine, master: Path) -> None:
    feeder = Feeder.from_dss(master)
    ((run,),) = simulate([Plan(())], [RUN], feeder, Limits(), engine=engine)
    assert run.engine == engine
    assert run.summary.sites == ()
    known = {(node.bus, node.phase): node.voltage_pu for node in solve_base_case(feeder).judged}
    assert dict(zip(run.summary.nodes, run.summary.lowest_pu, strict=True)) == pytest.approx(known, abs=2e-6)
    assert [check.criterion for check in run.verdict.broken] == [Criterion.VOLTAGE_LOW]
    quality = run.summary.power_quality
    assert quality is not None
    assert (quality.trips, quality.worst_trip_change()) == ((), None)
    assert not {c.criterion for c in run.checks} & {Criterion.LATENCY, Criterion.THROUGHPUT}


@pytest.mark.parametrize("engine", ["batch", "opendss"])
def test_every_run_has_the_same_scenario_without_sites_beside_it(engine: Engine, master: Path) -> None:
    feeder, bases = Feeder.from_dss(master), Bases()
    plans = [site_at("strong", 40), site_at("mid", 40), replace(site_at("mid", 20), pv=())]
    runs = simulate(plans, [RUN, replace(RUN, name="light", own_load_share=0.5)], feeder, NO_WORSE, engine=engine,
                    bases=bases)  # fmt: skip
    assert len(bases) == 2
    ((alone,),) = simulate([Plan(())], [RUN], feeder, Limits(), engine=engine)
    for (heavy, light), plan in zip(runs, plans, strict=True):
        assert heavy.base is not None
        assert light.base is not None
        assert heavy.base is bases[engine, plan.base(), RUN]
        np.testing.assert_array_equal(heavy.base.lowest_pu, alone.summary.lowest_pu)
        assert light.base.lowest > heavy.base.lowest + 0.02
    again = simulate(plans[:1], [RUN], feeder, NO_WORSE, engine=engine, bases=bases)
    assert again[0][0].base is runs[0][0].base
    assert simulate(plans[:1], [RUN], feeder, Limits(), engine=engine)[0][0].base is None
    assert simulate(plans[:1], [RUN], feeder, Limits(), engine=engine, with_base=True)[0][0].base is not None


def test_the_door_for_verdicts_knows_the_rule(master: Path) -> None:
    feeder = Feeder.from_dss(master)
    near, far = site_at("strong", 40), site_at("weak", 40)
    assert not evaluate(near, feeder, [RUN], Limits()).accepted
    assert evaluate(near, feeder, [RUN], NO_WORSE).accepted
    refused = evaluate(far, feeder, [RUN], NO_WORSE)
    assert not refused.accepted
    assert "pu without a site" in refused.reasons[0]


def capacity(master: Path, limits: Limits, **more: Any) -> tuple[Any, list[TaskResult]]:
    study = HostingCapacityStudy(
        feeder=str(master),
        buses=("strong", "mid"),
        taps="study",
        scenario=RUN,
        operations=("firm",),
        limits=limits,
        **more,
    )
    results: list[TaskResult] = []
    for task in study.tasks("capacities", ()):
        results.append(TaskResult(task, study.run(task, lambda share, words: None)))
    return study, results


def test_hosting_capacity_says_that_the_circuit_is_to_blame_or_what_makes_nothing_worse(master: Path) -> None:
    study, results = capacity(master, Limits())
    rows = gather_as(results, "capacities", CapacityRow)
    assert [row.n_gpus for row in rows] == [0, 0]
    assert all("undervoltage" in row.base_breaks for row in rows)
    answer = study.conclude(results).answer
    assert "the circuit breaks a limit without any site: undervoltage" in answer
    assert "hosts no site" not in answer
    study, results = capacity(master, NO_WORSE)
    found = {row.bus: row for row in gather_as(results, "capacities", CapacityRow)}
    assert found["strong"].n_gpus > found["mid"].n_gpus > 0
    assert found["mid"].limit_criterion is Criterion.VOLTAGE_LOW
    assert found["mid"].limit_where.startswith("weak")
    # Plain OpenDSS: the weak bus stays within a thousandth of what it has without a site, and 3 % more takes it beyond.
    base = solve(master)
    pairs = [("weak", phase, 0) for phase in (1, 2, 3)]
    for scale, kept in ((1.0, True), (1.03, False)):
        kw = 1e3 * scale * (found["mid"].power_peak_opendss_mw or 0.0) / 3.0
        drop_pu = base.lowest_pu(pairs) - solve(master, "mid", (kw, kw, kw)).lowest_pu(pairs)
        assert (drop_pu <= 0.001 + 1e-6) == kept, (scale, drop_pu)
