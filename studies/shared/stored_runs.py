"""Simulated runs as rows that can be stored, read again, and held against other limits without simulating."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from pydantic import ConfigDict, TypeAdapter

from g2g_opt.batch.summary import Edges, FleetSummary, Summary
from g2g_opt.judge import rejudge
from g2g_opt.limits import Limits
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulate import Simulation

# In tuples, because a type that has a configuration of its own takes none from an adapter; JSON has no NaN.
_EXACT = ConfigDict(ser_json_inf_nan="strings")
_OUTCOME = TypeAdapter(tuple[Outcome], config=_EXACT)
_PLAN = TypeAdapter(tuple[Plan], config=_EXACT)
_SCENARIO = TypeAdapter(tuple[Scenario], config=_EXACT)
_SITES = TypeAdapter(tuple[FleetSummary, ...], config=_EXACT)
_ARRAYS = {
    "lowest_pu": np.float64,
    "lowest_step": np.int32,
    "highest_pu": np.float64,
    "highest_step": np.int32,
    "steps_by_class": np.int32,
    "below_pu": np.float64,
    "above_pu": np.float64,
    "loading_pu": np.float64,
    "loading_step": np.int32,
    "loading_phase": np.int32,
    "emergency_share": np.float64,
    "loading_steps_over": np.int32,
    "loading_steps_by_class": np.int32,
}

_OTHERS = ("dt_s", "n_steps", "edges", "n_edges", "nodes", "branches", "own_steps", "own_worst", "sites")


def run_row(plan: Plan, scenario: Scenario, run: Simulation) -> dict[str, Any]:
    """A run as a row: plan, scenario, outcome (JSON), and its summary if it has one."""
    row: dict[str, Any] = {
        "plan": _PLAN.dump_json((plan,)).decode(),
        "scenario": _SCENARIO.dump_json((scenario,)).decode(),
        "outcome": _OUTCOME.dump_json((run.outcome,)).decode(),
    }
    return row | _summary_row(run.summary)


def _summary_row(summary: Summary | None) -> dict[str, Any]:
    # The same columns with and without one: a Parquet file takes its columns from the first row.
    row: dict[str, Any] = dict.fromkeys(["has_summary", *_ARRAYS, *_OTHERS])
    if summary is None:
        return row | {"has_summary": False}
    return (
        row
        | {name: getattr(summary, name).reshape(-1) for name in _ARRAYS}
        | {
            "has_summary": True,
            "dt_s": summary.dt_s,
            "n_steps": summary.n_steps,
            "edges": [*summary.edges.low_pu, *summary.edges.high_pu, *summary.edges.loading_pu],
            "n_edges": [len(getattr(summary.edges, field.name)) for field in fields(Edges)],
            "nodes": [f"{bus}.{phase}" for bus, phase in summary.nodes],
            "branches": list(summary.branches),
            "own_steps": summary.own_loads_unserved_steps,
            "own_worst": summary.own_loads_worst,
            "sites": _SITES.dump_json(summary.sites).decode(),
        }
    )


def read_plan(row: dict[str, Any]) -> Plan:
    """The plan of a stored run."""
    return _PLAN.validate_json(row["plan"])[0]


def read_scenario(row: dict[str, Any]) -> Scenario:
    """The scenario of a stored run."""
    return _SCENARIO.validate_json(row["scenario"])[0]


def read_outcome(row: dict[str, Any], limits: Limits | None = None) -> Outcome:
    """The outcome of a stored run; judged again if `limits` are given.

    Raises `InputError` for limits at which the run kept no figures.
    """
    (outcome,) = _OUTCOME.validate_json(row["outcome"])
    if limits is None:
        return outcome
    return rejudge(outcome, read_summary(row), read_scenario(row), limits)


def read_summary(row: dict[str, Any]) -> Summary | None:
    """The summary of a stored run; None for one without (it failed, or ran on OpenDSS)."""
    if not row["has_summary"]:
        return None
    ends = np.cumsum([0, *row["n_edges"]])
    low, high, loading = (tuple(row["edges"][ends[k] : ends[k + 1]]) for k in range(3))
    arrays = {name: np.asarray(row[name], dtype=kind) for name, kind in _ARRAYS.items()}
    arrays["steps_by_class"] = arrays["steps_by_class"].reshape(len(low) + 1, len(high) + 1)
    arrays["loading_steps_over"] = arrays["loading_steps_over"].reshape(len(loading), -1)
    return Summary(
        dt_s=row["dt_s"],
        n_steps=row["n_steps"],
        edges=Edges(low, high, loading),
        nodes=tuple(_node(name) for name in row["nodes"]),
        branches=tuple(row["branches"]),
        own_loads_unserved_steps=row["own_steps"],
        own_loads_worst=row["own_worst"],
        sites=_SITES.validate_json(row["sites"]),
        **arrays,
    )


def _node(name: str) -> tuple[str, int]:
    bus, phase = name.rsplit(".", 1)
    return bus, int(phase)
