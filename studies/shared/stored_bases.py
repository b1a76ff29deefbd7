"""Runs without sites in a study's results: stored once per task, scenario and engine, and found again for any run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from g2g_opt.outcome import Outcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.summary import Summary
from studies.shared.stored_runs import RunRow
from studies.shared.task import Row, TaskResult
from studies.shared.typed_rows import gather_as, to_rows

BASES = "bases"


def base_rows(runs: Iterable[tuple[Plan, Scenario, Outcome]]) -> list[Row]:
    """Rows of the table "bases": what the runs were judged beside, each once."""
    found: dict[tuple[str, Plan, Scenario], Outcome] = {}
    for plan, scenario, run in runs:
        if run.base is not None:
            found.setdefault((run.engine, plan.base(), scenario), run)
    rows = []
    for (_, plan, scenario), run in found.items():
        assert run.base is not None
        alone = Outcome(run.scenario, run.engine, run.base, run.verdict)
        rows.append(RunRow.of(plan, scenario, alone))
    return to_rows(rows)


class StoredBases:
    """The table "bases" of results, read when it is asked for."""

    def __init__(self, results: Sequence[TaskResult]) -> None:
        self._rows = {(row.engine, row.plan, row.scenario): row for row in gather_as(results, BASES, RunRow)}
        self._read: dict[tuple[str, str, str], Summary] = {}

    def of(self, run: RunRow) -> Summary | None:
        """The same scenario on the same engine without sites; None if it was not kept."""
        key = run.engine, run.base_plan, run.scenario
        if key not in self._rows:
            return None
        if key not in self._read:
            self._read[key] = self._rows[key].read_summary()
        return self._read[key]
