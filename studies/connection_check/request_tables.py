"""Tables of a judged request: rows, every run with the run without sites beside it, and the same under other limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from g2g_opt.limits import Limits
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from studies.connection_check.judging import JudgedRequest, RequestJudge
from studies.connection_check.question import OPERATIONS
from studies.connection_check.rows import RequestRow, RequestRun, better_of, limit_rows, request_row, size_rows
from studies.shared.stored_bases import BASES, StoredBases, base_rows
from studies.shared.tap_search import TapTrial
from studies.shared.task import Tables, TaskResult
from studies.shared.typed_rows import gather_as, to_rows

_ON_BATCH_ALONE = (
    "under these limits it is kept by the batch engine; OpenDSS ran only what was kept under those of the runs"
)


def request_tables(
    judged: Sequence[JudgedRequest], bus: str, mw: float, full_draw_mw: float, limits: Limits, judge: RequestJudge
) -> Tables:
    """Tables "requests" (firm and flexible), "limits", "sizes", "runs" and the runs without sites."""
    runs: list[RequestRun] = []
    done: list[tuple[Plan, Scenario, Outcome]] = []
    for one in judged:
        groups = [(n, trial.runs, False) for n, trial in {one.n_servers: one.trial, **one.sizes}.items()]
        groups += [(one.n_servers, one.confirmed, True)] if one.confirmed else []
        for n, outcomes, confirms in groups:
            plan, scenarios = judge.plan(n, one.operation), judge.scenarios[one.operation]
            done += [(plan, scenario, run) for scenario, run in zip(scenarios, outcomes, strict=True)]
            same = {"operation": one.operation, "n_servers": n, "asked": n == one.n_servers, "confirms": confirms}
            runs += [
                RequestRun.of(plan, scenario, run, kept=run.kept, **same)
                for scenario, run in zip(scenarios, outcomes, strict=True)
            ]
    return {**_rows(judged, bus, mw, full_draw_mw, limits), BASES: base_rows(done), "runs": to_rows(runs)}


def _rows(judged: Sequence[JudgedRequest], bus: str, mw: float, full_draw_mw: float, limits: Limits) -> Tables:
    firm, flexible = (request_row(one, bus, mw, full_draw_mw, limits) for one in judged)
    return {
        "requests": to_rows([firm, better_of(firm, flexible)]),
        "limits": to_rows([row for one in judged for row in limit_rows(one)]),
        "sizes": to_rows([row for one in judged for row in size_rows(one)]),
    }


def judged_again(results: Sequence[TaskResult], limits: Limits) -> list[TaskResult]:
    """The request's task with every stored run held against other `limits`; failed tasks stay, others are left out.

    Among the sizes that were simulated the largest one that is kept is the answer. A size that is kept now and was not
    then has no run on OpenDSS, and its row says so.
    """
    found = [result for result in results if result.failed]
    for result in results:
        stored = gather_as([result], "requests", RequestRow)
        if not stored:
            continue
        asked, bases = stored[0], StoredBases([result])
        runs = [(row, row.outcome(limits, bases.of(row))) for row in gather_as([result], "runs", RequestRun)]
        judged = [_request(asked.n_servers, [one for one in runs if one[0].operation == operation])
                  for operation in OPERATIONS]  # fmt: skip
        tables = _rows(judged, asked.bus, asked.mw, asked.full_draw_mw, limits)
        alone = {one.operation for one in judged if one.kept and not one.confirmed}
        rows = [
            replace(row, note="; ".join(filter(None, [row.note, _ON_BATCH_ALONE]))) if row.operation in alone else row
            for row in gather_as([TaskResult(result.task, tables)], "requests", RequestRow)
        ]
        again = [replace(row, kept=outcome.kept) for row, outcome in runs]
        found.append(TaskResult(result.task, {**tables, "requests": to_rows(rows), "runs": to_rows(again)}))
    return found


def _request(n_asked: int, runs: Sequence[tuple[RequestRun, Outcome]]) -> JudgedRequest:
    """A request from its runs of one operation."""
    sizes = {
        n: TapTrial.of(row.read_plan(), [outcome for one, outcome in runs if one.n_servers == n and not one.confirms])
        for n, row in {row.n_servers: row for row, _ in runs}.items()
    }
    confirmed = tuple(outcome for row, outcome in runs if row.confirms)
    return JudgedRequest(runs[0][0].operation, n_asked, sizes[n_asked], confirmed, dict(sorted(sizes.items())))
