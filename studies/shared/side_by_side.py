"""Searches side by side: each is a generator that asks for simulations, and every round they share one batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.outcome import Engine, Outcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import Bases, beside_bases, simulate_runs
from studies.shared.kept_runs import kept_runs
from studies.shared.run_processes import run_processes


@dataclass(frozen=True)
class RunRequest:
    """A plan that a search wants simulated: on which engine, and in which scenario (None: the study's own)."""

    plan: Plan
    engine: Engine = "batch"
    scenario: Scenario | None = None


Result = TypeVar("Result")
# What a search is told of a size: yes or no, or the share of the limit that it uses up.
Answer = TypeVar("Answer")
# Yields requests, is sent their simulations in the same order, returns its result.
Wanted = Generator[tuple[RunRequest, ...], Sequence[Outcome], Result]


class _Question(Protocol):
    """What of a study the simulations need."""

    @property
    def scenario(self) -> Scenario: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def trace_dir(self) -> str: ...


def together(parts: Sequence[Wanted[Any]]) -> Wanted[list[Any]]:
    """Several searches as one that asks for what all of them want; returns their results in order."""
    results: list[Any] = [None] * len(parts)
    wants: dict[int, tuple[RunRequest, ...]] = {}

    def advance(k: int, answers: Sequence[Outcome] | None) -> None:
        try:
            wants[k] = next(parts[k]) if answers is None else parts[k].send(answers)
        except StopIteration as end:
            results[k] = end.value
            wants.pop(k, None)

    for k in range(len(parts)):
        advance(k, None)
    while wants:
        order = list(wants)
        answers = yield tuple(request for k in order for request in wants[k])
        place = 0
        for k in order:
            n = len(wants[k])
            advance(k, answers[place : place + n])
            place += n
    return results


def judged_by(
    search: Generator[tuple[int, ...], Mapping[int, Answer], Result],
    judge: Callable[[tuple[int, ...]], Wanted[Mapping[int, Answer]]],
) -> Wanted[Result]:
    """What a search over sizes finds, whose sizes are judged by the simulations that `judge` asks for."""
    answers: Any = None  # a search begins without any
    while True:
        try:
            sizes = search.send(answers)
        except StopIteration as end:
            found: Result = end.value
            return found
        answers = yield from judge(sizes)


def limit_use(runs: Sequence[Outcome]) -> float:
    """Share of the limit that binds runs: at most 1 exactly if all are kept, infinite if one has no answer."""
    used = max(run.verdict.used for run in runs)
    return min(used, 1.0) if all(run.kept for run in runs) else max(used, math.nextafter(1.0, 2.0))


def run_side_by_side(
    study: _Question,
    feeder: Feeder,
    searches: Sequence[Wanted[Result]],
    remember: bool = False,
    bases: Bases | None = None,
) -> list[Result]:
    """Run searches to their ends; what they ask for in a round is simulated together, engine by engine.

    Every answer has the run of its scenario without sites beside it, simulated once; `bases` keeps those between calls
    on one feeder. What several ask for at once is simulated once; with `remember` also what was asked for in any round
    before, for searches that differ only in how they judge (every answer is then kept in memory).
    """
    everything = together(searches)
    known: dict[RunRequest, Outcome] = {}
    bases = {} if bases is None else bases
    try:
        wanted = next(everything)
        while True:
            new = [request for request in dict.fromkeys(wanted) if request not in known]
            known.update(zip(new, _simulate(study, feeder, new, bases), strict=True))
            answers = [known[request] for request in wanted]
            if not remember:
                known.clear()
            wanted = everything.send(answers)
    except StopIteration as end:
        found: list[Result] = end.value
        return found


def _simulate(study: _Question, feeder: Feeder, wanted: Sequence[RunRequest], bases: Bases) -> list[Outcome]:
    found: dict[int, Outcome] = {}
    # The run without sites comes afterwards, once for all runs of a scenario.
    alone = replace(study.limits, base_rule="hold")
    for engine in dict.fromkeys(request.engine for request in wanted):
        places = [k for k, request in enumerate(wanted) if request.engine == engine]
        kept, folder = kept_runs(), Path(study.trace_dir)
        runs = {k: (wanted[k].plan, wanted[k].scenario or study.scenario) for k in places}
        if kept is not None:
            known = {k: kept.find(feeder, *run, engine, alone) for k, run in runs.items()}
            found.update({k: outcome for k, outcome in known.items() if outcome is not None})
        new = [k for k in places if k not in found]
        if new:
            asked = [runs[k] for k in new]
            beside = run_processes()
            if beside is not None:
                done = beside.simulate(asked, feeder, alone, engine, folder)
            else:
                done = simulate_runs(asked, feeder, alone, engine=engine, trace_dir=folder)
            if kept is not None:
                kept.keep(feeder, asked, engine, done)
            found.update(zip(new, done, strict=True))
        outcomes = [found[k] for k in places]
        judged = beside_bases(list(runs.values()), outcomes, feeder, study.limits, bases=bases, trace_dir=folder)
        found.update(zip(places, judged, strict=True))
    return [found[k] for k in range(len(wanted))]
