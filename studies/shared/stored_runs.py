"""Simulated runs as rows that can be stored, read again, and held against any limits without simulating."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter

from g2g_opt.circuit.parts import phase_number
from g2g_opt.edges import Edges
from g2g_opt.engine_reason import EngineReason
from g2g_opt.failure import Failure, FailureKind
from g2g_opt.judge import judge
from g2g_opt.limits import Limits
from g2g_opt.metrics.power_quality import PowerQuality
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.summary import SiteSummary, Summary
from studies.shared.typed_rows import TypedRow

# In tuples, because a type that has a configuration of its own takes none from an adapter; JSON has no NaN.
# Built with the first run that is stored or read.
_EXACT = ConfigDict(ser_json_inf_nan="strings", defer_build=True)
_PLAN = TypeAdapter(tuple[Plan], config=_EXACT)
_SCENARIO = TypeAdapter(tuple[Scenario], config=_EXACT)
_SITES = TypeAdapter(tuple[SiteSummary, ...], config=_EXACT)

Floats = NDArray[np.float64]
Counts = NDArray[np.int32]
# Columns that are a summary's arrays as they are, but for their shape.
_ARRAYS = (
    *("lowest_pu", "lowest_step", "highest_pu", "highest_step", "steps_by_class", "below_pu", "above_pu"),
    *("steps_below", "steps_above"),
    *("loading_pu", "loading_step", "loading_phase", "emergency_share", "loading_steps_over"),
    "loading_steps_by_class",
)


@dataclass(frozen=True, eq=False)
class SummaryRow(TypedRow):
    """Everything of a record as a row, its sites as JSON; the verdict is not stored.

    Tables that tell more about their records derive a class with more columns.
    """

    failure_kind: FailureKind | None
    failure_where: str
    failure_time_s: float | None
    failure_detail: str
    dt_s: float
    n_steps: int
    edges: tuple[float, ...]
    n_edges: tuple[int, ...]
    nodes: tuple[str, ...]
    lowest_pu: Floats
    lowest_step: Counts
    highest_pu: Floats
    highest_step: Counts
    steps_by_class: Counts
    steps_below: Counts
    steps_above: Counts
    below_pu: Floats
    above_pu: Floats
    branches: tuple[str, ...]
    loading_pu: Floats
    loading_step: Counts
    loading_phase: Counts
    emergency_share: Floats
    loading_steps_over: Counts
    loading_steps_by_class: Counts
    own_loads_unserved_steps: int
    own_loads_worst: str
    second_solution_pu: float
    power_quality: str
    sites: str

    @classmethod
    def of_summary(cls, summary: Summary, **more: Any) -> Self:
        """The row of a record; `more` are the columns of a class of one's own."""
        failure = summary.failure
        return cls(
            failure_kind=failure.kind if failure is not None else None,
            failure_where=failure.where if failure is not None else "",
            failure_time_s=failure.time_s if failure is not None else None,
            failure_detail=failure.detail if failure is not None else "",
            dt_s=summary.dt_s,
            n_steps=summary.n_steps,
            edges=tuple(edge for field in fields(Edges) for edge in getattr(summary.edges, field.name)),
            n_edges=tuple(len(getattr(summary.edges, field.name)) for field in fields(Edges)),
            nodes=summary.node_names,
            branches=summary.branches,
            own_loads_unserved_steps=summary.own_loads_unserved_steps,
            own_loads_worst=summary.own_loads_worst,
            second_solution_pu=summary.second_solution_pu,
            power_quality=summary.power_quality.to_json() if summary.power_quality is not None else "",
            sites=_SITES.dump_json(summary.sites).decode(),
            **{name: getattr(summary, name).reshape(-1) for name in _ARRAYS},
            **more,
        )

    def read_sites(self) -> tuple[SiteSummary, ...]:
        """The sites' figures."""
        return _SITES.validate_json(self.sites)

    def read_failure(self) -> Failure | None:
        """Why it has no usable answer, if it has none."""
        if self.failure_kind is None:
            return None
        return Failure(self.failure_kind, self.failure_where, self.failure_time_s, self.failure_detail)

    def read_summary(self) -> Summary:
        """The record of the run."""
        ends = np.cumsum([0, *self.n_edges])
        low, high, loading, unbalance = (tuple(self.edges[ends[k] : ends[k + 1]]) for k in range(4))
        shapes = {
            "steps_by_class": (len(low) + 1, len(high) + 1),
            "steps_below": (len(low), len(self.nodes)),
            "steps_above": (len(high), len(self.nodes)),
            "loading_steps_over": (len(loading), len(self.branches)),
        }
        return Summary(
            dt_s=self.dt_s,
            n_steps=self.n_steps,
            edges=Edges(low, high, loading, unbalance),
            nodes=tuple(_node(name) for name in self.nodes),
            node_names=self.nodes,
            branches=self.branches,
            own_loads_unserved_steps=self.own_loads_unserved_steps,
            own_loads_worst=self.own_loads_worst,
            second_solution_pu=self.second_solution_pu,
            sites=self.read_sites(),
            power_quality=PowerQuality.from_json(self.power_quality) if self.power_quality else None,
            failure=self.read_failure(),
            **{name: getattr(self, name).reshape(shapes.get(name, -1)) for name in _ARRAYS},
        )


@dataclass(frozen=True, eq=False)
class RunRow(SummaryRow):
    """A run as a row: its record, plan and scenario as JSON, and how it was run."""

    plan: str
    scenario: str
    scenario_name: str
    engine: str
    engine_note: str
    engine_reason: EngineReason | None
    seconds: float

    @classmethod
    def of(cls, plan: Plan, scenario: Scenario, outcome: Outcome, **more: Any) -> Self:
        """The row of a run; `more` are the columns of a class of one's own."""
        return cls.of_summary(
            outcome.summary,
            plan=_PLAN.dump_json((plan,)).decode(),
            scenario=_SCENARIO.dump_json((scenario,)).decode(),
            scenario_name=scenario.name,
            engine=outcome.engine,
            engine_note=outcome.engine_note,
            engine_reason=outcome.engine_reason,
            seconds=outcome.seconds,
            **more,
        )

    def read_plan(self) -> Plan:
        """The plan that was run."""
        return _PLAN.validate_json(self.plan)[0]

    @property
    def base_plan(self) -> str:
        """The plan without anything that it builds or decides, as it is stored."""
        return _PLAN.dump_json((self.read_plan().base(),)).decode()

    def read_scenario(self) -> Scenario:
        """The scenario it was run in."""
        return _SCENARIO.validate_json(self.scenario)[0]

    def outcome(self, limits: Limits, base: Summary | None = None) -> Outcome:
        """The run judged by `limits`, beside the `base` without sites if there is one (`StoredBases`).

        `InputError` for limits at which it kept no figures, and for the base rule "no-worse" without a base.
        """
        summary = self.read_summary()
        verdict = judge(summary, limits, base)
        return Outcome(
            self.scenario_name,
            self.engine,
            summary,
            verdict,
            self.seconds,
            self.engine_note,
            self.engine_reason,
            base=base,
        )


def _node(name: str) -> tuple[str, int]:
    bus, phase = name.rsplit(".", 1)
    return bus, phase_number(phase[0] if phase[0].isalpha() else phase)
