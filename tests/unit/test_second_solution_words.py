"""Where the same loads may have another solution beside an answer of hosting capacity, the reader is told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from studies.hosting_capacity.answer import second_solution_warning
from studies.hosting_capacity.rows import CapacityRow


def row(bus: str, second_solution_pu: float | None) -> CapacityRow:
    return cast(CapacityRow, SimpleNamespace(bus=bus, operation="firm", second_solution_pu=second_solution_pu))


def test_a_second_solution_is_told_with_its_places_and_the_farthest() -> None:
    said = second_solution_warning([row("a", 0.0021), row("b", 0.0), row("c", 0.0043), row("d", None)])
    assert "a (firm), c (firm)" in said
    assert "at most 0.0043 pu away" in said
    assert "taken is the one that continues the step before" in said


def test_nothing_is_said_where_there_is_one_solution() -> None:
    assert second_solution_warning([row("a", 0.0), row("b", 5e-5), row("c", None)]) == ""
