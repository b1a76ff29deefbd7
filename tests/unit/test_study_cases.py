"""Study cases are those of the published table, and scenarios drawn around them are keyed, in range and kept whole."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from g2g_opt.assembly import assemble
from g2g_opt.datacenter.workloads.training import TrainingTrace
from g2g_opt.errors import InputError
from g2g_opt.limits import Limits
from g2g_opt.power_shape import PowerShape
from g2g_opt.scenario import ReplicaShares, Scenario, TrainingOverlay
from g2g_opt.scenario_draws import ScenarioRanges, draw_scenario
from g2g_opt.scenario_library import LibraryScenario, ScenarioLibrary, Split
from g2g_opt.study_case import StudyCase
from studies.shared.screening import candidate_seed

# Ramps go both ways, and models begin at several sizes.
VARIED = ScenarioRanges(ramp_up_share=0.5, start_batch_sizes=(32, 64, 128))
BASE = Scenario(duration_s=600)


# OpenG2G paper, appendix C, table 4: buses, GPUs, base load (kW), PV and time-varying load (kW per phase).
@pytest.mark.parametrize(
    ("name", "buses", "n_gpus", "base_kw", "pv_kw", "load_kw"),
    [
        ("ieee13", ["671"], 7200, 1500, 10, 10),
        ("ieee34", ["850", "834"], 2640, 1650, 195, 250),
        ("ieee123", ["8", "23", "60", "105"], 4320, 3024, 550, 60),
    ],
)
def test_cases_are_those_of_the_table(
    name: str, buses: list[str], n_gpus: int, base_kw: float, pv_kw: float, load_kw: float
) -> None:
    case = StudyCase.load(name)
    sites = case.plan.sites
    assert [site.bus for site in sites] == buses
    # Servers are whole: the 34-bus case has 2 GPUs that serve no replica.
    assert 8 * sum(site.n_servers for site in sites) == n_gpus
    assert sum(site.base_kw_per_gpu * site.n_gpus for site in sites) == pytest.approx(base_kw)
    assert sum(unit.peak_kw_per_phase for unit in case.feeder.standing_generators) == pytest.approx(pv_kw)
    assert sum(unit.peak_kw_per_phase for unit in case.feeder.standing_loads) == pytest.approx(load_kw)


@pytest.mark.parametrize("name", StudyCase.known())
def test_the_case_begins_inside_the_band_or_says_how_far_outside(name: str) -> None:
    case = StudyCase.load(name)
    served = {
        site.name: sum(int(shares.start * d.n_replicas) * d.spec.gpus_per_replica for d in site.deployments)
        for site, shares in zip(case.plan.sites, case.at_start, strict=True)
    }
    published = {
        "ieee13": {"campus": 4800},
        "ieee34": {"upstream": 960, "downstream": 1200},
        "ieee123": {"z1_sw": 800, "z2_nw": 920, "z3_se": 832, "z4_ne": 768},
    }
    assert served == published[name]


def test_a_drawn_scenario_is_keyed_and_keeps_its_ranges() -> None:
    case, ranges = StudyCase.load("ieee34"), VARIED
    drawn = [draw_scenario(case, BASE, ranges, f"s{k}", k) for k in range(60)]
    assert drawn == [draw_scenario(case, BASE, ranges, f"s{k}", k) for k in range(60)]
    assert len({scenario.site_shares for scenario in drawn}) == 60
    for scenario in drawn:
        assert len(scenario.generation_shapes) == len(case.feeder.standing_generators)
        for shape in (*scenario.generation_shapes, *scenario.load_shapes):
            assert 0.5 <= shape.scale <= 2.0
        for site, shares in zip(case.plan.sites, scenario.site_shares, strict=True):
            start = next(known.start for known in case.at_start if known.site == site.name)
            assert shares.start == start
            assert 1 <= len(shares.ramps) <= 2
            for _, end_s, reached in shares.ramps:
                assert end_s <= 600.0
                assert reached <= 1.0
                assert 0.15 * start <= reached + 1e-6 <= 0.5 * start + 2e-6 or reached >= 1.05 * start - 1e-6
            assert {size for _, size in shares.batch_sizes} <= {32, 64, 128}
    assert {len(scenario.site_shares[0].ramps) for scenario in drawn} == {1, 2}


@pytest.mark.parametrize("name", StudyCase.known())
def test_models_begin_where_the_paper_leaves_them_and_ramps_go_down(name: str) -> None:
    case = StudyCase.load(name)
    for k in range(20):
        for site in draw_scenario(case, BASE, ScenarioRanges(), f"s{k}", k).site_shares:
            assert {size for _, size in site.batch_sizes} == {128}
            assert all(reached < site.start for _, _, reached in site.ramps)


def test_training_leaves_no_gpus_for_ramps_up() -> None:
    case = StudyCase.load("ieee13")
    drawn = [draw_scenario(case, BASE, VARIED, f"s{k}", k) for k in range(40)]
    start = case.at_start[0].start
    for scenario in drawn:
        (job,) = scenario.training
        (shares,) = scenario.site_shares
        trained = job.gpus_of(case.plan.sites[0].n_gpus)
        assert 0.283 * 7200 <= trained <= 2400
        assert (
            max((reached for _, _, reached in shares.ramps), default=0.0) * 7200 + trained <= 7200 + 1
            or max(reached for _, _, reached in shares.ramps) < start
        )


def test_seeds_of_splits_never_meet() -> None:
    splits = get_args(Split)
    seeds = {candidate_seed(seed, split, k) for seed in range(3) for split in splits for k in (0, 9_999_999)}
    assert len(splits) == 3
    assert len(seeds) == 18


def test_shapes_move_as_written() -> None:
    shape = PowerShape.parse("2,0.5,ramp:100:200:0.25,pulse:400:50:-0.75")
    assert shape.share_at(np.array([0.0, 150.0, 300.0, 400.0, 460.0])) == pytest.approx([1.0, 1.25, 1.5, 0.0, 1.5])
    flickering = replace(shape, flicker=0.1, phase=1.0).share_at(np.arange(0.0, 3600.0))
    assert 1.0 < flickering.max() / shape.share_at(np.arange(0.0, 3600.0)).max() <= 1.1


def test_plateaus_lie_further_below_their_peak_than_steps() -> None:
    shares = {shape: TrainingTrace.generate(seed=3, shape=shape).mean_share for shape in ("steps", "plateaus")}  # type: ignore[arg-type]
    # The published trace averages about 245 W of 400 W.
    assert 400.0 * shares["plateaus"] == pytest.approx(245.0, abs=10.0)
    assert 400.0 * shares["steps"] == pytest.approx(336.0, abs=5.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1.5", "cannot be read"),
        ("1.5,0.9,bump:1:2:3", "neither a ramp nor a pulse"),
        ("1.5,0.9,ramp:1:2", "neither a ramp nor a pulse"),
        ("1.5,0.9,ramp:200:100:0.1", "must end after it starts"),
        ("-1,0.9", "must lie in"),
    ],
)
def test_shapes_that_cannot_be_read(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        PowerShape.parse(text)


def test_scenarios_that_do_not_fit_say_why() -> None:
    case = StudyCase.load("ieee34")

    def assembled(**changes: object) -> None:
        scenario = Scenario(duration_s=60, replica_ramps=(), **changes)  # type: ignore[arg-type]
        assemble(case.plan, scenario, case.feeder, Limits())

    with pytest.raises(InputError, match="site 'nowhere' not found"):
        assembled(site_shares=(ReplicaShares("nowhere", 0.5),))
    with pytest.raises(InputError, match="model 'gpt' not found"):
        assembled(site_shares=(ReplicaShares("upstream", 0.5, (), (("gpt", 8),)),))
    with pytest.raises(InputError, match="batch size 9 of"):
        assembled(site_shares=(ReplicaShares("upstream", 0.5, (), (("Llama-3.1-8B-Instruct", 9),)),))
    with pytest.raises(InputError, match="2 load_shapes; the feeder has 3 units"):
        assembled(load_shapes=(PowerShape(), PowerShape()))
    with pytest.raises(InputError, match=r"training on 2000 GPUs .* is more than the 1200 GPUs"):
        assembled(training=(TrainingOverlay(0.0, 10.0, n_gpus=2000, site="upstream"),))
    # Shares are said as shares: the site may be any of many sizes that are tried.
    with pytest.raises(InputError, match=r"training on 120 % of the GPUs of site 'upstream' at t=5 s is more than"):
        assembled(training=(TrainingOverlay(0.0, 10.0, gpu_share=1.0), TrainingOverlay(5.0, 9.0, gpu_share=0.2)))
    with pytest.raises(InputError, match="known training shapes"):
        TrainingOverlay(0.0, 10.0, n_gpus=8, shape="hills")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="name a site twice"):
        assembled(site_shares=(ReplicaShares("upstream", 0.5), ReplicaShares("upstream", 0.6)))


def test_a_scenario_starts_its_models_and_sites_as_it_says() -> None:
    case = StudyCase.load("ieee34")
    scenario = Scenario(
        duration_s=60,
        replica_ramps=(),
        site_shares=(ReplicaShares("upstream", 0.5, (), (("Llama-3.1-70B-Instruct", 32),)),),
    )
    run = assemble(case.plan, scenario, case.feeder, Limits())
    upstream = run.datacenters["upstream"]
    stretch = upstream.advance_block(0.0, 1)
    assert stretch.shape[0] == 1
    assert upstream.workload.initial_batch_sizes["Llama-3.1-70B-Instruct"] == 32
    assert upstream.workload.initial_batch_sizes["Llama-3.1-8B-Instruct"] == 128
    assert upstream.workload.replica_schedules["Llama-3.1-8B-Instruct"].initial == 200


def test_a_library_comes_back_whole_and_says_when_it_was_changed(tmp_path: Path) -> None:
    case = StudyCase.load("ieee13")
    entries = tuple(
        LibraryScenario(draw_scenario(case, BASE, ScenarioRanges(), f"t{k}", k), "test", 2.0 + k, float(k % 2), 0.5)
        for k in range(3)
    )
    library, file = ScenarioLibrary("ieee13", entries), tmp_path / "library.csv"
    file.write_text(library.to_csv(), encoding="utf-8")
    again = ScenarioLibrary.load(file)
    assert again == library
    assert [entry.mix for entry in again.scenarios] == ["under", "both", "under"]
    file.write_text(library.to_csv().replace("t1,test", "t9,test"), encoding="utf-8")
    with pytest.raises(InputError, match="was changed since it was written"):
        ScenarioLibrary.load(file)
    file.write_text(ScenarioLibrary("ieee13", ()).to_csv(), encoding="utf-8")
    with pytest.raises(InputError, match="holds no scenario"):
        ScenarioLibrary.load(file)
    file.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match="does not begin with its digest"):
        ScenarioLibrary.load(file)
