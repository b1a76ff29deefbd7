"""What a policy study on a feeder asks, its scenarios, and how it runs controllers of its own in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
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
    Rounding,
)
from g2g_opt.controller.ofo import LogisticModelStore
from g2g_opt.coordinator import Coordinator
from g2g_opt.errors import InputError, PowerFlowError
from g2g_opt.feeder import Feeder
from g2g_opt.hourly_profile import load_profile
from g2g_opt.limits import Limits
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Plan, Policy
from g2g_opt.quantities import (
    CoefficientSum,
    Count,
    DurationS,
    MarginPu,
    RoundCount,
    ShareAboveZero,
    Weight,
    check_quantities,
)
from g2g_opt.randomness import keyed_generator
from g2g_opt.scenario import PROFILE_ROW_S, Scenario
from g2g_opt.simulate import simulate_assembled
from studies.feeder_policy.records import OutputFigures, RecordingController, Records

Floats = NDArray[np.float64]
ControllersOf = Callable[["Setting", Assembly], list[Controller[Any, Any]]]

_HOURS_A_DAY = 24


@dataclass(frozen=True)
class FeederPolicyQuestion:
    """What is asked. Runs follow `base`, whose profile gives load and sun; each begins at an hour of a day drawn
    without putting back, so that training and test share no day.

    At the start, and by a ramp in each half of the run, a share of the replicas drawn from `replica_share` is reached.
    `grid_lag_s` is the age at which the operator publishes, `site_lag_s` that at which the sites do. `penalty_per_pu`
    weighs violations (mean over time, pu summed over bus-phases) against the logarithm of the throughput, in training
    and in the choice of margins; `coefficients_max` bounds the sum of the policy's coefficients (5 of the program).
    `rounds` is how often it is trained anew on records made under the policy before.
    """

    plan: Plan
    feeder: str = "ieee13"
    exclude_buses: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    base: Scenario = field(default_factory=lambda: Scenario(profile="hudson_valley_2018"))
    n_training: Count = 20
    n_test: Count = 40
    replica_share: tuple[ShareAboveZero, ShareAboveZero] = (0.4, 1.0)
    feeder_features: tuple[str, ...] = ("own_load_share", "pv_kw", "time_of_day_sin", "time_of_day_cos")
    site_features: tuple[str, ...] = ("site_demand_kw",)
    grid_lag_s: DurationS = 60.0
    site_lag_s: DurationS = 1.0
    record_dt_s: DurationS = 60.0
    margins_pu: tuple[MarginPu, ...] = (0.0, 0.001, 0.002, 0.003)
    rounding: Rounding = "nearest"
    penalty_per_pu: Weight = 1000.0
    coefficients_max: CoefficientSum = 10.0
    rounds: RoundCount = 2
    clairvoyant_rounds: RoundCount = 3

    def __post_init__(self) -> None:
        check_quantities(self)
        if self.base.profile is None:
            raise InputError("a policy study draws days from the base scenario's profile; give it one")
        if not self.margins_pu:
            raise InputError("a policy study needs a margin to try")

    def scenarios(self) -> tuple[tuple[Scenario, ...], tuple[Scenario, ...]]:
        """Training and test scenarios; `InputError` if the profile has too few days for runs that share none."""
        assert self.base.profile is not None  # checked above
        rows = -(-self.base.duration_s // PROFILE_ROW_S)
        days_a_run = -(-(rows + _HOURS_A_DAY - 1) // _HOURS_A_DAY)
        n_days = len(load_profile(self.base.profile).hours) // _HOURS_A_DAY
        starts = np.arange(0, n_days - days_a_run + 1, days_a_run)
        needed = self.n_training + self.n_test
        if len(starts) < needed:
            raise InputError(f"{needed} runs that share no day need more than the profile's {n_days} days")
        chosen = keyed_generator(self.base.seed, "feeder policy days").permutation(starts)[:needed]
        names = [f"training {k}" for k in range(self.n_training)] + [f"test {k}" for k in range(self.n_test)]
        drawn = [self._drawn(name, int(day), rows) for name, day in zip(names, chosen, strict=True)]
        return tuple(drawn[: self.n_training]), tuple(drawn[self.n_training :])

    def _drawn(self, name: str, day: int, rows: int) -> Scenario:
        generator = keyed_generator(self.base.seed, name, "feeder policy")
        duration_s = self.base.duration_s
        row = day * _HOURS_A_DAY + int(generator.integers(_HOURS_A_DAY))
        start, first, second = (round(float(x), 6) for x in generator.uniform(*self.replica_share, size=3))
        begins = [round(float(generator.uniform(low, low + 0.3)) * duration_s) for low in (0.05, 0.5)]
        ramp_s = max(1.0, round(duration_s / 8))
        ramps = tuple((at_s, at_s + ramp_s, share) for at_s, share in zip(begins, (first, second), strict=True))
        return replace(
            self.base, name=name, replica_share_start=start, replica_ramps=ramps, profile_rows=(row, rows, 1)
        )


class Setting:
    """A question with what is loaded once: the feeder, curves, and the figures of every output."""

    def __init__(self, question: FeederPolicyQuestion) -> None:
        self.question = question
        self.feeder = Feeder.find(question.feeder).excluding(question.exclude_buses)
        self.plan = replace(question.plan, policy=Policy())
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
        return OutputFigures.of(
            self.sites(assemble(self.plan, scenario, self.feeder, self.question.limits)), self.curves
        )

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
        found = assemble(self.plan, scenario, self.feeder, self.question.limits)
        coordinator: Coordinator[Any, Any] = Coordinator(
            datacenters=list(found.datacenters.values()),
            grid=found.grid,
            controllers=controllers_of(self, found),
            total_duration_s=scenario.duration_s,
        )
        run = replace(found, coordinator=coordinator)
        return run, simulate_assembled(run, self.plan, scenario, self.feeder, self.question.limits)

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
