"""Rows of stored tables as classes: what is written is read back, also from Parquet; another version's is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.errors import InputError
from g2g_opt.failure import Failure, FailureKind
from g2g_opt.judge import Criterion, judge
from g2g_opt.limits import Limits
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.site import BASE_KW_PER_GPU, sized_site
from g2g_opt.summary import SiteSummary, Summary
from studies.running.stored_tables import StoredTables, table_file
from studies.shared.stored_runs import RunRow
from studies.shared.typed_rows import TypedRow, to_rows


@dataclass(frozen=True, eq=False)
class Sample(TypedRow):
    name: str
    count: int | None
    criterion: Criterion | None
    sizes: tuple[int, ...]
    words: tuple[str, ...]
    values: NDArray[np.float64]


def through_parquet(rows: list[TypedRow], folder: Path) -> list[dict[str, object]]:
    content, _ = table_file(to_rows(rows))
    (folder / "rows.parquet").write_bytes(content)
    return list(StoredTables(folder)["rows"])


def test_a_row_written_is_the_row_read(tmp_path: Path) -> None:
    rows = [
        Sample("a", None, None, (), (), np.array([np.nan])),
        Sample("b", 3, Criterion.LATENCY, (1, 2), ("x", "y.A"), np.zeros(0)),
    ]
    for row, stored in zip(rows, through_parquet(list(rows), tmp_path), strict=True):
        again = Sample.from_row(stored)
        assert (again.name, again.count, again.criterion) == (row.name, row.count, row.criterion)
        assert (again.sizes, again.words) == (row.sizes, row.words)
        assert type(again.criterion) is type(row.criterion)
        np.testing.assert_array_equal(again.values, row.values)


def test_what_another_version_stored_is_refused_in_words() -> None:
    row = Sample("a", None, None, (), (), np.zeros(0)).to_row()
    with pytest.raises(InputError, match=r"have no count: .* another version of g2g; run the study again"):
        Sample.from_row({name: value for name, value in row.items() if name != "count"})
    with pytest.raises(InputError, match="hold what is no Sample"):
        Sample.from_row(row | {"criterion": "sunshine"})


@pytest.mark.parametrize("failure", [None, Failure(FailureKind.NOT_SERVED, "site phase A at bus 671", 1.0, "asked")])
def test_a_run_read_back_has_the_same_record_and_verdict(failure: Failure | None, tmp_path: Path) -> None:
    site = SiteSummary("site", 1.0, 2.0, 0.5, 100.0, 20, 1, 3, 0, "671", 8, 2, 2.5, 110.0)
    summary = Summary.of_points(
        np.array([[0.99, 0.93], [1.0, 1.02]]),
        [("671", 1), ("9.5", 2)],
        ["671.A", "9.5.BC"],
        0.5,
        loading_pu=np.array([[0.4, 1.3]]),
        branches=["line.a"],
        loading_phase=np.array([2]),
        emergency_share=np.array([0.8]),
        sites=(site,),
        failure=failure,
    )
    limits = Limits(loading_max_pu=1.0)
    run = Outcome("brief", "opendss", summary, judge(summary, limits), 1.5, "note")
    plan = Plan((sized_site("site", "671", [(measured_spec("llama-3.1-70b", gpu="H100"), 128)], 1, BASE_KW_PER_GPU),))
    (stored,) = through_parquet([RunRow.of(plan, Scenario("brief", 30), run)], tmp_path)
    row = RunRow.from_row(stored)
    again = row.outcome(limits)
    assert again.verdict == run.verdict
    assert (again.scenario, again.engine, again.engine_note) == ("brief", "opendss", "note")
    assert again.summary.sites == (site,)
    assert (again.summary.nodes, again.summary.node_names) == (summary.nodes, summary.node_names)
    for name in ("steps_by_class", "loading_steps_over", "lowest_pu", "highest_step", "below_pu"):
        np.testing.assert_array_equal(getattr(again.summary, name), getattr(summary, name))
    assert (row.read_plan(), row.read_scenario()) == (plan, Scenario("brief", 30))
