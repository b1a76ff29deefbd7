"""A hosting-capacity study says where a controller could do no more, at the answer and at the size refused above it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from g2g_opt.scenario import Scenario
from g2g_opt.summary import SiteSummary
from studies.hosting_capacity.exhausted_controllers import exhausted_warning

HOUR = Scenario(control_dt_s=2)  # type: ignore[arg-type]


def row(bus: str = "671", operation: str = "flexible", first: int | None = None) -> Any:
    return SimpleNamespace(
        bus=bus, operation=operation, first_n_servers=first, n_servers=100, n_servers_rejected_above=101
    )


def run(n_servers: int, *steps: int, bus: str = "671", **more: Any) -> Any:
    sites = tuple(
        SiteSummary("a", 1.0, 1.0, 1.0, 1.0, 1, 0, 0, n_gpus=8 * n_servers, exhausted_control_steps=n) for n in steps
    )
    of_aim = {"operation": "flexible", "first_n_servers": None, "purpose": "search", "failure_kind": None}
    return SimpleNamespace(
        bus=bus, n_servers=n_servers, read_sites=lambda: sites, read_scenario=lambda: HOUR, **(of_aim | more)
    )


def test_nothing_is_said_where_there_was_room() -> None:
    assert exhausted_warning([row()], [run(100, 0), run(101, 0)]) == ""
    assert exhausted_warning([row()], []) == ""
    # Neither of firm operation, nor of other sizes, searches and buses.
    others = [run(90, 5), run(101, 5, operation="firm"), run(101, 5, bus="632"), run(101, 5, first_n_servers=3)]
    assert exhausted_warning([row(), row(operation="firm"), row(first=3)], others) == ""
    assert exhausted_warning([row()], [run(101, 5, purpose="certificate"), run(101, 5, failure_kind="x")]) == ""


def test_sizes_and_control_steps_are_named() -> None:
    words = exhausted_warning([row()], [run(100, 3), run(101, 40, 50), run(101, 60)])
    assert "671 with 800 GPUs in 3 of 1800 control steps" in words
    # Of several runs of a size the best one, of several sites the one with most.
    assert "671 with 1616 GPUs, refused, in 50 of 1800 control steps" in words


def test_of_many_some_are_named_and_the_others_counted() -> None:
    buses = [str(k) for k in range(10)]
    words = exhausted_warning([row(bus) for bus in buses], [run(101, 7, bus=bus) for bus in buses])
    assert words.count("refused") == 6
    assert words.endswith("; and 4 more")
