"""Candidate scenarios of a study case, screened in lockstep without coordination and under OFO."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, get_args

from g2g_opt.flag import Flag
from g2g_opt.limits import Limits
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Policy
from g2g_opt.quantities import IntegralPuS, Share, check_quantities
from g2g_opt.scenario import Scenario
from g2g_opt.scenario_draws import ScenarioRanges, draw_scenario
from g2g_opt.scenario_library import LibraryScenario, ScenarioLibrary, Split, parse_scenario, scenario_json
from g2g_opt.simulation import simulate_runs
from g2g_opt.study_case import StudyCase
from studies.shared.typed_rows import TypedRow

# Seeds of a split begin here, as far apart as no study has candidates.
SEEDS_OF_SPLIT = 10_000_000
HOW_TO_ADMIT_MORE = "screen more of them, or by another rule (--violation-min-pu-s, --recovery-min)"
ADMITTED, CALM, LOST, FAILED = "admitted", "no violation to mend", "OFO recovers too little", "no answer"


@dataclass(frozen=True)
class ScreeningRule:
    """A candidate is admitted if the integral violation without coordination is above `none_min_pu_s` and OFO recovers
    at least `recovery_min` of it (OpenG2G paper, appendix D).
    """

    none_min_pu_s: Annotated[
        IntegralPuS, Flag("--violation-min-pu-s", "integral violation without coordination that is worth mending")
    ] = 1.0
    recovery_min: Annotated[Share, Flag("--recovery-min", "share of it that OFO recovers at the least")] = 0.7

    def __post_init__(self) -> None:
        check_quantities(self)


@dataclass(frozen=True)
class CandidateRow(TypedRow):
    """One candidate; None where nothing was simulated, or the run has no answer."""

    split: str
    name: str
    seed: int
    verdict: str
    none_under_pu_s: float | None
    none_over_pu_s: float | None
    ofo_pu_s: float | None
    generation_scale: float | None
    load_scale: float | None
    training_gpu_share: float | None
    n_ramps: int
    failure: str
    scenario: str

    @property
    def none_pu_s(self) -> float | None:
        """Integral violation without coordination (pu s)."""
        if self.none_under_pu_s is None or self.none_over_pu_s is None:
            return None
        return self.none_under_pu_s + self.none_over_pu_s

    def entry(self) -> LibraryScenario:
        """An admitted candidate as a scenario of a library."""
        assert self.none_under_pu_s is not None  # an admitted one was simulated twice
        assert self.none_over_pu_s is not None
        assert self.ofo_pu_s is not None
        (split,) = (name for name in get_args(Split) if name == self.split)
        scenario = parse_scenario(self.scenario, f"candidate {self.name}")
        return LibraryScenario(scenario, split, self.none_under_pu_s, self.none_over_pu_s, self.ofo_pu_s)


def candidate_seed(seed: int, split: Split, k: int) -> int:
    """The seed of candidate `k` of a split of a study with a seed; no two are alike."""
    return (seed * len(get_args(Split)) + get_args(Split).index(split)) * SEEDS_OF_SPLIT + k


def draw_candidates(
    case: StudyCase, base: Scenario, ranges: ScenarioRanges, split: Split, first: int, n: int
) -> list[Scenario]:
    """Candidates `first` to `first + n - 1` of a split, keyed by the seed of `base`."""
    return [
        draw_scenario(case, base, ranges, f"{split} {k}", candidate_seed(base.seed, split, k))
        for k in range(first, first + n)
    ]


def sides_pu_s(run: Outcome, limits: Limits) -> tuple[float, float]:
    """Integral violations (3.1, pu s) below and above the band, of a run that has an answer."""
    whole = run.voltage.integral_violation_pu_s
    summary = run.summary
    if summary.highest <= limits.voltage_max_pu:
        return whole, 0.0
    if summary.lowest >= limits.voltage_min_pu:
        return 0.0, whole
    place = summary.edges.low_pu.index(limits.voltage_min_pu)
    under = float(summary.below_pu[place]) * summary.dt_s
    return under, whole - under


@dataclass(frozen=True, eq=False)
class Screening:
    """What candidates of a case are screened by."""

    case: StudyCase
    rule: ScreeningRule
    limits: Limits
    trace_dir: Path
    ofo: Policy = field(default_factory=lambda: Policy("ofo"))

    def screen(
        self, split: Split, scenarios: Sequence[Scenario], tell: Callable[[float], None] = lambda done: None
    ) -> list[CandidateRow]:
        """A row for each: all without coordination, then under OFO those that have a violation to mend."""
        none = self._simulate(Policy(), scenarios, lambda share: tell(0.4 * share))
        rule = self.rule
        worth = [
            k
            for k, run in enumerate(none)
            if run.failure is None and run.voltage.integral_violation_pu_s > rule.none_min_pu_s
        ]
        ofo = dict(
            zip(
                worth,
                self._simulate(self.ofo, [scenarios[k] for k in worth], lambda share: tell(0.4 + 0.6 * share)),
                strict=True,
            )
        )
        return [self._row(split, scenario, none[k], ofo.get(k)) for k, scenario in enumerate(scenarios)]

    def _simulate(self, policy: Policy, scenarios: Sequence[Scenario], tell: Callable[[float], None]) -> list[Outcome]:
        plan = replace(self.case.plan, policy=policy)
        return simulate_runs(
            [(plan, scenario) for scenario in scenarios],
            self.case.feeder,
            self.limits,
            trace_dir=self.trace_dir,
            progress=lambda done, of: tell(done / of),
            beside_uncontrolled=False,
        )

    def _row(self, split: Split, scenario: Scenario, none: Outcome, ofo: Outcome | None) -> CandidateRow:
        failure = none.failure or (ofo.failure if ofo is not None else None)
        under, over = sides_pu_s(none, self.limits) if none.failure is None else (None, None)
        left = ofo.voltage.integral_violation_pu_s if ofo is not None and ofo.failure is None else None
        if failure is not None:
            verdict = FAILED
        elif left is None:
            verdict = CALM
        else:
            whole = none.voltage.integral_violation_pu_s
            verdict = ADMITTED if whole - left >= self.rule.recovery_min * whole else LOST
        return CandidateRow(
            split,
            scenario.name,
            scenario.seed,
            verdict,
            under,
            over,
            left,
            scenario.generation_shapes[0].scale if scenario.generation_shapes else None,
            scenario.load_shapes[0].scale if scenario.load_shapes else None,
            scenario.training[0].gpu_share if scenario.training else None,
            sum(len(shares.ramps) for shares in scenario.site_shares),
            str(failure) if failure is not None else "",
            scenario_json(scenario),
        )


def library_of(case: str, rows: Sequence[CandidateRow]) -> ScenarioLibrary:
    """The library of the admitted candidates, in their order."""
    return ScenarioLibrary(case, tuple(row.entry() for row in rows if row.verdict == ADMITTED))
