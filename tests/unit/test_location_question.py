"""Location questions: what they ask, what is refused before anything runs, and how placements are ranked."""

from __future__ import annotations

import argparse
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import TypeAdapter

from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from studies.catalogue import make_question
from studies.cli import main
from studies.datacenter_location.placements import list_placements, spread_sample
from studies.datacenter_location.ranking import best_rows, lead_in_words, n_tied
from studies.datacenter_location.study import LocationStudy
from studies.datacenter_location.trials import TapRange, rank_key
from studies.shared.question_flags import add_question_flags, given_fields
from studies.shared.site_choices import ServedModel, SiteChoice, parse_site, study_sites

SMALL = (ServedModel("llama-3.1-8b", 80),)
WEST, EAST = SiteChoice("west", SMALL, candidates=("671", "675")), SiteChoice("east", SMALL, candidates=("680", "671"))
QUESTION = LocationStudy(feeder="ieee13", sites=(WEST, EAST))


# --- the question


def test_the_default_is_the_whole_product_of_the_recorded_case() -> None:
    study = LocationStudy()
    placements = study.placements()
    assert len(placements) == len(set(placements)) == 5 * 15 * 29 * 7 == 15_225
    assert {("1", "21", "76", "97"), ("1", "21", "60", "97")} < set(placements)
    sites = [choice.site(bus, study.gpu) for choice, bus in zip(study.choices(), placements[0], strict=True)]
    assert [(site.n_gpus, site.n_replicas) for site in sites] == [(276, 204), (272, 120), (596, 97), (480, 65)]
    base = [round(site.base_kw_per_gpu * site.n_gpus / 3.0, 6) for site in sites]
    assert base == [310.0, 265.0, 295.0, 325.0]


def test_a_question_is_plain_and_hashable() -> None:
    adapter = TypeAdapter(LocationStudy)
    question = replace(QUESTION, finalist_dt_s=Fraction(1, 4), followed=(("671", "680"),))
    again = adapter.validate_json(adapter.dump_json(question))
    assert again == question
    assert hash(again) == hash(question)


def test_placements_never_use_a_bus_twice_and_the_largest_site_moves_least() -> None:
    found = list_placements([("a", "b"), ("a", "b", "c")], [1.0, 2.0])
    assert found == [("b", "a"), ("a", "b"), ("a", "c"), ("b", "c")]
    assert QUESTION.placements() == [("671", "680"), ("675", "680"), ("675", "671")]


def test_a_sample_is_spread_evenly() -> None:
    every = [(str(k),) for k in range(10)]
    assert spread_sample(every, 99) == every
    assert spread_sample(every, 2) == [("2",), ("7",)]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (replace(QUESTION, sites=(replace(WEST, candidates=(), zone="z9"),)), "zone 'z9' not found in feeder ieee13"),
        (replace(QUESTION, sites=(replace(WEST, candidates=("611",)),)), "bus 611 has phases .*needs all three"),
        (replace(QUESTION, sites=(replace(WEST, candidates=("nowhere",)),)), "bus 'nowhere' not found"),
        (replace(QUESTION, sites=(replace(WEST, zone="z1"),)), "a zone or candidates, not both"),
        (replace(QUESTION, sites=(WEST, replace(EAST, name="west"))), "different names"),
        (
            replace(QUESTION, sites=tuple(replace(WEST, name=str(k)) for k in range(3))),
            "3 sites cannot stand at different buses",
        ),
        (replace(QUESTION, sites=()), "no sites of its own"),
        (replace(QUESTION, sites=(replace(WEST, models=()),)), "at least one model"),
        (replace(QUESTION, sites=(replace(WEST, models=(ServedModel("llama-3.1-70b", 6),)),)), "whole number"),
        (replace(QUESTION, sites=(replace(WEST, models=(ServedModel("nobody", 8),)),)), "model 'nobody' not found"),
        (replace(QUESTION, sites=(replace(WEST, models=(replace(SMALL[0], batch_size=77),)),)), "batch size 77"),
        (replace(QUESTION, followed=(("671", "632"),)), "followed placement 671/632 is none of the 3"),
        (replace(QUESTION, finalist_dt_s=Fraction(7)), "finalist_dt_s must divide"),
        (replace(QUESTION, feeder="ieee14"), "feeder 'ieee14' not found"),
        (
            replace(QUESTION, sites=(WEST, EAST), feeder="none.dss"),
            "none.dss",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_reason(question: LocationStudy, words: str) -> None:
    with pytest.raises(InputError, match=words):
        question.check()


def test_sites_of_a_feeder_without_any() -> None:
    assert study_sites("ieee13") == ()
    assert study_sites("mine.dss") == ()
    assert [site.zone for site in study_sites("IEEE123")] == list(Feeder.load("ieee123").zones)


# --- the command line


def parse(*words: str) -> LocationStudy:
    parser = argparse.ArgumentParser()
    add_question_flags(parser, LocationStudy)
    question = make_question("location", given_fields(LocationStudy, parser.parse_args(words)))
    assert isinstance(question, LocationStudy)
    return question


def test_without_flags_the_command_asks_the_default_question() -> None:
    assert parse() == LocationStudy()


def test_the_help_says_what_a_place_is_with_an_example_that_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["location", "--help"])
    words = " ".join(capsys.readouterr().out.split())
    assert "PLACE: any, a zone, or buses joined by +" in words
    example = words.partition("joined by +, e.g. ")[2].split("; ")[0]
    assert parse("--site", example).sites[0].candidates == ()


def test_sites_are_read_from_the_command_line() -> None:
    study = parse(
        "--feeder", "ieee13", "--site", "west=671+675:llama-3.1-8b:80", "--site", "east=any:llama-3.1-70b:40@64,qwen:8",
        "--follow", "671/675", "--finalists", "3", "--finalist-dt-s", "1/2", "--duration-s", "600", "--seed", "5",
        "--policy", "droop", "--margin-pu", "0.002", "--voltage-min-pu", "0.94",
    )  # fmt: skip
    assert study.sites == (
        SiteChoice("west", (ServedModel("llama-3.1-8b", 80),), candidates=("671", "675")),
        SiteChoice("east", (ServedModel("llama-3.1-70b", 40, 64), ServedModel("qwen", 8))),
    )
    assert (study.finalists, study.finalist_dt_s, study.seed) == (3, Fraction(1, 2), 5)
    assert (study.scenario.duration_s, study.policy.kind, study.limits.voltage_min_pu) == (600, "droop", 0.94)
    assert study.followed == (("671", "675"),)
    assert parse_site("a=z1_sw:m:8", ("z1_sw",)).zone == "z1_sw"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--site", "west"), "cannot be read"),
        (("--site", "west=z1_sw:llama-3.1-8b"), "MODEL:GPUS"),
        (("--site", "west=z1_sw:llama-3.1-8b:many"), "MODEL:GPUS"),
        (("--follow", "1/21"), "2 buses for 4 sites"),
        (("--feeder", "ieee14"), "not found"),
    ],
)
def test_lines_that_cannot_be_read(words: tuple[str, ...], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        parse(*words).check()


# --- ranking


def row(name: str, integral: float, time_s: float = 0.0, tokens: float = 1.0, margin: float = 0.0, **more: Any) -> Any:
    """What a ranking reads of a `PlacementRow`; failures have no figures."""
    figures = (integral, time_s, tokens, margin) if not more.get("failure") else (None,) * 4
    names = ("integral_violation_pu_s", "violation_time_s", "throughput_tps", "margin_pu")
    fixed = {"placement": name, "stage": "placements", "failure": ""}
    return SimpleNamespace(**(fixed | dict(zip(names, figures, strict=True)) | more))


def test_ties_are_broken_by_time_tokens_margin_and_names_in_this_order() -> None:
    ordered = [
        row("z", 0.0),
        row("y", 0.5, 1.0, 5.0, 0.001),
        row("x", 0.5, 1.0, 4.0, 0.003),
        row("a", 0.5, 1.0, 4.0, 0.001),
        row("b", 0.5, 1.0, 4.0, 0.001),
        row("c", 0.5, 2.0, 9.0, 0.009),
        row("d", 0.6, 0.5),
        row("e", 0.0, failure="no convergence"),
    ]
    for shuffled in (ordered[::-1], ordered[3:] + ordered[:3]):
        assert [r.placement for r in best_rows(shuffled, finalists=False)] == [r.placement for r in ordered]
    assert n_tied(best_rows(ordered, finalists=False)) == 1
    assert n_tied([row("a", 0.0), row("b", 1e-9), row("c", 0.1)]) == 2
    assert n_tied([]) == 0


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (row("b", 0.75), "ahead of the next best (b) by 0.2500 pu s less violation"),
        (row("b", 0.5, 12.0), "by 10 s less outside the band"),
        (row("b", 0.5, 2.0, 900.0), "by 100 tokens/s more"),
        (row("b", 0.5, 2.0, 1000.0, 0.001), "by 0.00200 pu more margin of the worst voltage"),
        (row("b", 0.5, 2.0, 1000.0, 0.003), "level with 1 other(s)"),
        (row("b", 0.5, failure="no convergence"), ""),
    ],
)
def test_the_best_placement_is_ahead_by_the_figure_that_decides(second: Any, words: str) -> None:
    first = row("a", 0.5, 2.0, 1000.0, 0.003)
    assert words in lead_in_words([first, second])
    assert bool(lead_in_words([first, second])) == bool(words)
    assert lead_in_words([first]) == ""


def test_a_placement_counts_by_its_best_trial_and_finalists_apart() -> None:
    rows = [
        row("a", 2.0),
        row("a", 1.0, stage="refine", steps=[1]),
        row("a", 1.5, stage="finalists"),
        row("b", 1.2),
    ]
    best = best_rows(rows, finalists=False)
    assert [(r.placement, r.stage) for r in best] == [("a", "refine"), ("b", "placements")]
    assert [r.stage for r in best_rows(rows, finalists=True)] == ["finalists"]
    assert rank_key(rows[0]) > rank_key(rows[1])


def test_steps_become_ratios_within_the_ranges() -> None:
    taps = TapRange.of(Feeder.load("ieee123"))
    study = dict(taps.taps(taps.study))
    assert study == dict(Feeder.load("ieee123").initial_taps.regulators)  # type: ignore[union-attr]
    down, up = taps.steps_left(taps.start_pu)
    highest = dict(taps.taps(up))
    assert max(highest.values()) <= 1.1 + 1e-9
    assert min(dict(taps.taps(-down)).values()) >= 0.9 - 1e-9
    assert highest["creg4a"] == pytest.approx(1.1)
