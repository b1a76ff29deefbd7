"""How a policy study on a feeder runs policies in its scenarios, and records what they are trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from g2g_opt.assembly import Assembly, assemble
from g2g_opt.channel.links import Links
from g2g_opt.clock import as_period
from g2g_opt.controller.base import Controller
from g2g_opt.controller.contextual_batch_size import PublicContext
from g2g_opt.controller.ofo import LogisticModelStore
from g2g_opt.coordinator import Coordinator
from g2g_opt.errors import PowerFlowError
from g2g_opt.evaluation import evaluate
from g2g_opt.feeder_policy import FEEDER_FEATURES, SITE_FEATURES, PolicyFeature
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.outcome import Engine, Outcome
from g2g_opt.plan import Plan, Policy
from g2g_opt.policy_assembly import day_start_s, policy_sites
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate_assembled
from studies.feeder_policy.question import FeederPolicyQuestion
from studies.feeder_policy.records import OutputFigures, RecordingController, Records

Floats = NDArray[np.float64]
ControllersOf = Callable[[Assembly], list[Controller[Any, Any]]]
NO_POLICY = Policy()


def no_controllers(run: Assembly) -> list[Controller[Any, Any]]:
    """None beside those that a policy names."""
    return []


class FeederPolicyCase:
    """A question with what is loaded once: the feeder, curves, and the figures of every output."""

    def __init__(self, question: FeederPolicyQuestion) -> None:
        self.question = question
        self.feeder, self.plan = question.load_feeder(), question.plan()
        self.trace_dir = Path(question.trace_dir)
        self.curves = LogisticModelStore.ensure(
            None, {d.spec.model_label: d.spec for site in self.plan.sites for d in site.deployments}.values()
        )
        self.perturbation_kw = float(self.feeder.ofo.get("sensitivity_perturbation_kw", 100.0))

    def figures(self, scenario: Scenario) -> OutputFigures:
        """Figures of every output, which are the same in every scenario."""
        run = self._assembled(self.plan, scenario)
        return OutputFigures.of(policy_sites(self.plan, run.datacenters), self.curves)

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

    def heard(self, policy: Policy) -> Policy:
        """A policy whose messages pass the channels of the question, if there are any."""
        return replace(policy, channels=self.question.channels)

    def evaluate(self, policy: Policy, scenarios: Sequence[Scenario], engine: Engine = "batch") -> tuple[Outcome, ...]:
        """Runs of the plan under a policy."""
        plan, limits, trace_dir = replace(self.plan, policy=policy), self.question.limits, self.trace_dir
        return evaluate(plan, self.feeder, scenarios, limits, engine=engine, trace_dir=trace_dir).outcomes

    def run_unnamed(self, scenario: Scenario, controllers_of: ControllersOf) -> Outcome:
        """A run on OpenDSS under controllers that no policy names, judged."""
        return self._run(self._assembled(self.plan, scenario), scenario, controllers_of)

    def recorded(
        self,
        scenario: Scenario,
        policy: Policy = NO_POLICY,
        controllers_of: ControllersOf = no_controllers,
        *,
        with_context: bool = True,
    ) -> tuple[Records, Assembly, Outcome]:
        """A run with a recorder ahead of the policy's controllers, and of others that no policy names.

        Raises `PowerFlowError` with the reason if it has no answer.
        """
        run = self._assembled(replace(self.plan, policy=policy), scenario)
        features = self.features() if with_context else ()
        # Without context nothing need be noted between records.
        dt_s = scenario.control_dt_s if with_context else as_period(self.question.record_dt_s, "record_dt_s")
        sites, links = policy_sites(self.plan, run.datacenters), run.coordinator.links
        # A policy learns from what arrives, and from what the circuit then did.
        shown, publishing = (run.grid, sites)
        if isinstance(links, Links):
            shown, publishing = cast(OpenDSSGrid, links.grid), policy_sites(self.plan, cast(Any, links.sites))
        recorder = RecordingController(
            PublicContext(features, publishing, shown, self.curves, day_start_s(scenario)),
            sites,
            OutputFigures.of(sites, self.curves),
            run.grid,
            dt_s=dt_s,
            record_dt_s=self.question.record_dt_s,
            perturbation_kw=self.perturbation_kw,
        )
        outcome = self._run(run, scenario, lambda of: [recorder, *of.coordinator.controllers, *controllers_of(of)])
        if outcome.failure is not None:
            raise PowerFlowError(outcome.failure.of_run(f"scenario {scenario.name!r}"))
        return recorder.records(), run, outcome

    def _assembled(self, plan: Plan, scenario: Scenario) -> Assembly:
        return assemble(plan, scenario, self.feeder, self.question.limits, trace_dir=self.trace_dir)

    def _run(self, run: Assembly, scenario: Scenario, controllers_of: ControllersOf) -> Outcome:
        coordinator: Coordinator[Any, Any] = Coordinator(
            datacenters=list(run.datacenters.values()),
            grid=run.grid,
            controllers=controllers_of(run),
            total_duration_s=scenario.duration_s,
            links=run.coordinator.links,
        )
        controlled, limits, trace_dir = replace(run, coordinator=coordinator), self.question.limits, self.trace_dir
        return simulate_assembled(controlled, self.plan, scenario, self.feeder, limits, trace_dir=trace_dir)
