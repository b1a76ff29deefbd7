"""How a policy study on a feeder runs controllers of its own in its scenarios."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.assembly import Assembly, assemble
from g2g_opt.clock import as_period
from g2g_opt.controller.base import Controller
from g2g_opt.controller.contextual_batch_size import (
    FEEDER_FEATURES,
    SITE_FEATURES,
    ContextualBatchSizeController,
    FeederPolicy,
    PolicyFeature,
    PolicySite,
    PublicContext,
)
from g2g_opt.controller.ofo import LogisticModelStore
from g2g_opt.coordinator import Coordinator
from g2g_opt.errors import PowerFlowError
from g2g_opt.evaluate import evaluate
from g2g_opt.hourly_profile import load_profile
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulate import Engine, simulate_assembled
from studies.feeder_policy.question import FeederPolicyQuestion
from studies.feeder_policy.records import OutputFigures, RecordingController, Records

Floats = NDArray[np.float64]
ControllersOf = Callable[["Setting", Assembly], list[Controller[Any, Any]]]


class Setting:
    """A question with what is loaded once: the feeder, curves, and the figures of every output."""

    def __init__(self, question: FeederPolicyQuestion) -> None:
        self.question = question
        self.feeder, self.plan = question.load_feeder(), question.plan()
        self.trace_dir = Path(question.trace_dir)
        self.curves = LogisticModelStore.ensure(
            None, {d.spec.model_label: d.spec for site in self.plan.sites for d in site.deployments}.values()
        )
        self.perturbation_kw = float(self.feeder.ofo.get("sensitivity_perturbation_kw", 100.0))

    def sites(self, run: Assembly) -> tuple[PolicySite, ...]:
        """The sites of a run as a policy acts on them."""
        return tuple(
            PolicySite(
                run.datacenters[site.name],
                tuple(d.spec for d in site.deployments),
                {d.spec.model_label: d.batch_size for d in site.deployments},
            )
            for site in self.plan.sites
        )

    def figures(self, scenario: Scenario) -> OutputFigures:
        """Figures of every output, which are the same in every scenario."""
        return OutputFigures.of(self.sites(self._assembled(scenario)), self.curves)

    def day_start_s(self, scenario: Scenario) -> float:
        """Time of day (s) at which a scenario begins."""
        assert scenario.profile is not None  # the question asks for one
        at = load_profile(scenario.profile).hours[scenario.profile_rows[0]]
        return at.hour * 3600.0 + at.minute * 60.0

    def features(self) -> tuple[PolicyFeature, ...]:
        """The features asked for, not scaled yet."""
        q = self.question
        of_feeder = [PolicyFeature(n, FEEDER_FEATURES.get(n, "?"), lag_s=q.grid_lag_s) for n in q.feeder_features]
        of_sites = [
            PolicyFeature(n, SITE_FEATURES.get(n, "?"), site.name, q.site_lag_s)
            for site in self.plan.sites
            for n in q.site_features
        ]
        return (*of_feeder, *of_sites)

    def run(self, scenario: Scenario, controllers_of: ControllersOf) -> tuple[Assembly, Outcome]:
        """Assemble with controllers of our own, run on OpenDSS, judge."""
        found = self._assembled(scenario)
        coordinator: Coordinator[Any, Any] = Coordinator(
            datacenters=list(found.datacenters.values()),
            grid=found.grid,
            controllers=controllers_of(self, found),
            total_duration_s=scenario.duration_s,
        )
        run = replace(found, coordinator=coordinator)
        limits, trace_dir = self.question.limits, self.trace_dir
        return run, simulate_assembled(run, self.plan, scenario, self.feeder, limits, trace_dir=trace_dir)

    def evaluate(self, plan: Plan, scenarios: Sequence[Scenario], engine: Engine = "batch") -> tuple[Outcome, ...]:
        """Runs of a plan, with the controllers that its policy names."""
        limits, trace_dir = self.question.limits, self.trace_dir
        return evaluate(plan, self.feeder, scenarios, limits, engine=engine, trace_dir=trace_dir).outcomes

    def _assembled(self, scenario: Scenario) -> Assembly:
        return assemble(self.plan, scenario, self.feeder, self.question.limits, trace_dir=self.trace_dir)

    def policy_controller(
        self, policy: FeederPolicy, run: Assembly, scenario: Scenario
    ) -> ContextualBatchSizeController:
        """The controller that runs a policy."""
        return ContextualBatchSizeController(
            policy,
            self.sites(run),
            run.grid,
            self.curves,
            dt_s=scenario.control_dt_s,
            day_start_s=self.day_start_s(scenario),
        )

    def recorded(
        self, scenario: Scenario, controllers_of: ControllersOf, *, with_context: bool = True
    ) -> tuple[Records, Assembly, Outcome]:
        """A run with a recorder ahead of its controllers; `PowerFlowError` with the reason if it has no answer."""
        features = self.features() if with_context else ()
        # Without context nothing need be noted between records.
        dt_s = scenario.control_dt_s if with_context else as_period(self.question.record_dt_s, "record_dt_s")
        recorders: list[RecordingController] = []

        def with_recorder(setting: Setting, run: Assembly) -> list[Controller[Any, Any]]:
            sites = self.sites(run)
            context = PublicContext(features, sites, run.grid, self.curves, self.day_start_s(scenario))
            recorders.append(
                RecordingController(
                    context,
                    sites,
                    OutputFigures.of(sites, self.curves),
                    run.grid,
                    dt_s=dt_s,
                    record_dt_s=self.question.record_dt_s,
                    perturbation_kw=self.perturbation_kw,
                )
            )
            return [*recorders, *controllers_of(setting, run)]

        run, simulation = self.run(scenario, with_recorder)
        if simulation.failure is not None:
            raise PowerFlowError(simulation.failure.of_run(f"scenario {scenario.name!r}"))
        return recorders[0].records(), run, simulation
