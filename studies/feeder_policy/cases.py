"""A contextual policy of batch sizes on a feeder, trained on some days and judged in closed loop on others.

Six cases go through the same simulator in the same test scenarios: no control; the best constant sizes (trained like
the policy, without context); droop; OFO; the contextual policy; and a clairvoyant, who knows the scenario. What has a
margin to the voltage band (droop, OFO, the trained ones) gets the one of `margins_pu` that does best in closed loop in
the training scenarios. Nothing is reported that was not simulated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from g2g_opt.assembly import Assembly
from g2g_opt.controller.batch_size_schedule import BatchSizeSchedule, BatchSizeScheduleController
from g2g_opt.errors import PowerFlowError, number_of, unknown_name
from g2g_opt.failure import Failure, FailureKind
from g2g_opt.feeder_policy import FeederPolicy, PolicyFeature
from g2g_opt.outcome import Outcome
from g2g_opt.plan import Policy, PolicyKind
from g2g_opt.scenario import Scenario
from solvers.policy_training.feeder_policy import FeederPolicyProblem, FeederPolicySolution, solve_feeder_policy
from studies.feeder_policy.clairvoyant import AIM_PU, Clairvoyant, replay_sizes, schedules_of
from studies.feeder_policy.question import CASES, FeederPolicyQuestion
from studies.feeder_policy.records import OutputFigures, Records
from studies.feeder_policy.setting import NO_POLICY, ControllersOf, FeederPolicyCase, no_controllers
from studies.shared.paired import bootstrap_draws, mean_and_interval
from studies.shared.typed_rows import ShownAs, TypedRow, columns_of

Floats = NDArray[np.float64]

# Integral violations (pu s) nearer than this count as equal where a clairvoyant goes for tokens.
_EQUAL_PU_S = 0.01


@dataclass(frozen=True)
class TrainingRound(TypedRow):
    """A policy of one margin and round: what the program predicted on its records, and the closed loop after it.

    Droop and OFO predict nothing. `score` is what is least for the best: mean loss of log throughput plus the weighed
    violation, simulated.
    """

    case: Annotated[str, ShownAs("case")]
    margin_pu: Annotated[float, ShownAs("margin (pu)", 4)]
    round: Annotated[int, ShownAs("round")]
    predicted_violation_pu: Annotated[float | None, ShownAs("violation predicted (pu)", 5)]
    simulated_violation_pu: Annotated[float, ShownAs("violation simulated (pu)", 5)]
    predicted_loss: Annotated[float | None, ShownAs("loss predicted", 4, secondary=True)]
    score: Annotated[float, ShownAs("score (least is best)", 4)]


@dataclass(frozen=True)
class MarginRow(TypedRow):
    """The margin that was chosen for a case."""

    case: str
    margin_pu: float


@dataclass(frozen=True)
class PolicyRow(TypedRow):
    """The policy that was trained for a case, as JSON."""

    case: str
    json: str


@dataclass(frozen=True)
class CaseRow(TypedRow):
    """One case in one scenario, simulated; figures are None, with the reason in `failure`, where it has no answer.

    `kept` is 1 where every limit was kept, else 0: the mean of it is a share of scenarios. `broken` are the names of
    those that were not, divided by semicolons, and `reasons` say of each by how much, where and when.
    """

    case: Annotated[str, ShownAs("case")]
    scenario: Annotated[str, ShownAs("scenario")]
    integral_violation_pu_s: Annotated[float | None, ShownAs("integral violation (pu s)", 3)] = None
    outside_min: Annotated[float | None, ShownAs("outside (min)", 2)] = None
    throughput_share: Annotated[float | None, ShownAs("tokens, share of uncontrolled", 3)] = None
    latency_miss_share: Annotated[float | None, ShownAs("requests too slow (share)", 3)] = None
    batch_switches: Annotated[float | None, ShownAs("batch switches", 1)] = None
    kept: Annotated[float | None, ShownAs("scenarios that keep all limits (share)", 2)] = None
    failure: Annotated[str, ShownAs("failure", secondary=True)] = ""
    broken: Annotated[str, ShownAs("limits broken")] = ""
    reasons: Annotated[str, ShownAs("by how much, where and when", secondary=True)] = ""


# Figures of a row whose means are reported.
METRICS = tuple(column.name for column in columns_of(CaseRow)[2:-3])


@dataclass(frozen=True)
class FeederPolicyAnswer:
    """Rows of every case and test scenario, the trained policies by case, the rounds, the margins that were chosen."""

    rows: tuple[CaseRow, ...]
    policies: dict[str, FeederPolicy]
    rounds: tuple[TrainingRound, ...]
    margins_pu: dict[str, float]


@dataclass(frozen=True)
class MeanRow:
    """Mean of a metric over the scenarios in which every case has an answer, with a 95 % bootstrap interval.

    With `against`, it is the mean of the difference to that case in the same scenario.
    """

    case: str
    metric: str
    n_scenarios: int
    mean: float
    low: float
    high: float
    against: str = ""


def run_case(
    setting: FeederPolicyCase, case: str, tell: Callable[[str], None] = lambda words: None
) -> FeederPolicyAnswer:
    """One case: trained, or its margin chosen, in the training scenarios, and run in the test scenarios.

    A test scenario without an answer is a row with the reason; `PowerFlowError` names a training scenario without one:
    nothing can be learned from it, and the policy would be judged as if it did not exist.
    """
    training, test = setting.question.scenarios()
    policies: dict[str, FeederPolicy] = {}
    margins: dict[str, float] = {}
    rounds: list[TrainingRound] = []
    match case:
        case "constant" | "contextual":
            policies[case], rounds = train(setting, case, training, tell)
            policy = setting.heard(contextual(policies[case]))
            runs = (_row(setting, case, policy, scenario) for scenario in test)
        case "droop" | "ofo":
            margins[case], rounds = choose_margin(setting, case, training, tell)
            policy = setting.heard(Policy(case, margin_pu=margins[case]))
            runs = (_row(setting, case, policy, scenario) for scenario in test)
        case "no control":
            runs = (_row(setting, case, NO_POLICY, scenario) for scenario in test)
        case "clairvoyant":
            runs = (clairvoyant_row(setting, scenario) for scenario in test)
        case _:
            raise unknown_name("case", case, CASES)
    rows = []
    for row in runs:
        rows.append(row)
        tell(f"{case}, {row.scenario}")
    if case in policies:
        margins[case] = min(rounds, key=lambda entry: entry.score).margin_pu
    return FeederPolicyAnswer(tuple(rows), policies, tuple(rounds), margins)


def n_steps(question: FeederPolicyQuestion, case: str) -> int:
    """How often `run_case` tells something."""
    tried = {"constant": 1, "contextual": question.rounds, "droop": 1, "ofo": 1}.get(case, 0)
    recorded = 1 if case in {"constant", "contextual"} else 0
    return recorded + tried * len(question.margins_pu) + question.n_test


# --- training


def train(
    setting: FeederPolicyCase, case: str, training: Sequence[Scenario], tell: Callable[[str], None]
) -> tuple[FeederPolicy, list[TrainingRound]]:
    """The policy that does best in closed loop in the training scenarios, of every margin and round.

    The first round of a margin is trained on records of the uncontrolled runs, the next ones on records made under the
    policy before: the voltage model is then linear around what the policy does.
    """
    question = setting.question
    uncontrolled = [setting.recorded(scenario, setting.heard(NO_POLICY))[0] for scenario in training]
    tell(f"{case}: {number_of(len(training), 'training scenario')} without control")
    tried: list[tuple[FeederPolicy, TrainingRound]] = []
    for margin_pu in question.margins_pu:
        records = Records.joined(uncontrolled)
        # Constant sizes see no context that a second round could answer better.
        for k in range(question.rounds if case == "contextual" else 1):
            policy, solution = fit_policy(setting, training[0], records, case, margin_pu)
            runs = [setting.recorded(scenario, setting.heard(contextual(policy))) for scenario in training]
            records = Records.joined([made for made, _, _ in runs])
            score, violation_pu = score_of(setting, training, [simulation for _, _, simulation in runs])
            entry = TrainingRound(case, margin_pu, k, solution.violation_pu, violation_pu, solution.loss, score)
            tried.append((policy, entry))
            tell(f"{case}: margin {margin_pu:g} pu, round {k + 1}: {1e3 * violation_pu:.3f} mpu outside")
    if all(math.isinf(entry.score) for _, entry in tried):
        nothing = f"no training of {case!r} has an answer in all training scenarios"
        raise PowerFlowError(Failure(FailureKind.NO_ANSWER, nothing))
    best = min(tried, key=lambda entry: entry[1].score)[0]
    return best, [entry for _, entry in tried]


def fit_policy(
    setting: FeederPolicyCase, scenario: Scenario, records: Records, case: str, margin_pu: float
) -> tuple[FeederPolicy, FeederPolicySolution]:
    """The policy that the linear program finds best on records; "constant" has no features."""
    question, limits = setting.question, setting.question.limits
    figures = setting.figures(scenario)
    features, context = (
        scaled_features(setting.features(), records.context)
        if case == "contextual"
        else ((), np.zeros((len(records.time_s), 0)))
    )
    weight = records.replicas * figures.throughput_top
    offset, slope = figures.loss_pieces()
    solution = solve_feeder_policy(
        FeederPolicyProblem(
            context=context,
            voltage_pu=records.voltage_pu,
            slope_pu=records.slope_pu,
            level=records.level,
            loss_weight=weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-9),
            loss_offset=offset,
            loss_slope=slope,
            v_min_pu=limits.voltage_min_pu + margin_pu,
            v_max_pu=limits.voltage_max_pu - margin_pu,
            penalty_per_pu=question.penalty_per_pu,
            coefficients_max=question.coefficients_max,
        )
    )
    policy = FeederPolicy(
        features,
        figures.outputs,
        tuple(float(x) for x in solution.offset),
        tuple(tuple(float(x) for x in row) for row in solution.gain),
        question.rounding,
        f"{case}, feeder {setting.feeder.name}, {len(records.time_s)} records, margin {margin_pu:g} pu",
        setting.feeder.name,
    )
    return policy, solution


def scaled_features(features: tuple[PolicyFeature, ...], context: Floats) -> tuple[tuple[PolicyFeature, ...], Floats]:
    """Features with the mean and standard deviation of their records, and the context (record, feature) so scaled.

    One that never changes is left out: nothing can be learned from it.
    """
    center, spread = context.mean(axis=0), context.std(axis=0)
    kept = np.flatnonzero(spread > 1e-9 * np.maximum(np.abs(center), 1.0))
    scaled = tuple(replace(features[k], center=float(center[k]), scale=float(spread[k])) for k in kept)
    return scaled, (context[:, kept] - center[kept]) / spread[kept]


def score_of(setting: FeederPolicyCase, scenarios: Sequence[Scenario], runs: Sequence[Outcome]) -> tuple[float, float]:
    """Mean loss of log throughput plus weighed violation (least is best), and the mean violation (pu), simulated.

    A run without an answer makes the score infinite.
    """
    losses, violations_pu = [], []
    for scenario, run in zip(scenarios, runs, strict=True):
        if run.failure is not None:
            return math.inf, math.inf
        losses.append(-math.log(max(run.summary.throughput_share, 1e-9)))
        violations_pu.append(run.voltage.integral_violation_pu_s / scenario.duration_s)
    violation_pu = float(np.mean(violations_pu))
    return float(np.mean(losses)) + setting.question.penalty_per_pu * violation_pu, violation_pu


def choose_margin(
    setting: FeederPolicyCase, kind: PolicyKind, training: Sequence[Scenario], tell: Callable[[str], None]
) -> tuple[float, list[TrainingRound]]:
    """The margin at which droop or OFO does best in the training scenarios."""
    tried = []
    failures: list[Failure] = []
    for margin_pu in setting.question.margins_pu:
        runs = setting.evaluate(setting.heard(Policy(kind, margin_pu=margin_pu)), training)
        score, violation_pu = score_of(setting, training, runs)
        failures += [run.failure.of_run(f"{run.scenario!r}") for run in runs if run.failure is not None]
        tried.append(TrainingRound(kind, margin_pu, 0, None, violation_pu, None, score))
        tell(f"{kind}: margin {margin_pu:g} pu: {1e3 * violation_pu:.3f} mpu outside")
    if all(math.isinf(entry.score) for entry in tried):
        nothing = f"no margin of {kind} has an answer in all training scenarios:"
        raise PowerFlowError(Failure(FailureKind.NO_ANSWER, nothing, detail=str(failures[0])))
    return min(tried, key=lambda entry: entry.score).margin_pu, tried


# --- the cases


def contextual(policy: FeederPolicy) -> Policy:
    """The policy of a plan that follows a trained one."""
    return Policy("contextual", contextual=policy)


def _row(setting: FeederPolicyCase, case: str, policy: Policy, scenario: Scenario) -> CaseRow:
    (run,) = setting.evaluate(policy, [scenario], "opendss")
    return case_row(case, run)


def clairvoyant_row(setting: FeederPolicyCase, scenario: Scenario) -> CaseRow:
    """The best round of somebody who knows the scenario (least violation, limits kept, most tokens), run by itself."""
    limits, figures = setting.question.limits, setting.figures(scenario)
    band_pu = (limits.voltage_min_pu + AIM_PU, limits.voltage_max_pu - AIM_PU)
    clairvoyant = Clairvoyant(figures, replay_sizes(setting.plan, scenario, figures, setting.trace_dir), band_pu)
    controllers_of: ControllersOf = no_controllers
    tried: list[tuple[CaseRow, ControllersOf]] = []
    for _ in range(setting.question.clairvoyant_rounds + 1):
        try:
            records, run, simulation = setting.recorded(scenario, NO_POLICY, controllers_of, with_context=False)
        except PowerFlowError as error:
            return CaseRow("clairvoyant", scenario.name, failure=str(error))
        row = case_row("clairvoyant", simulation)
        tried.append((row, controllers_of))
        held = _held(run, figures)
        voltage_pu, time_s = run.grid.record.voltage_pu[:, run.grid.monitored_columns], run.grid.record.time_s
        controllers_of = _scheduled(schedules_of(clairvoyant.best(voltage_pu, held, records, time_s), time_s, figures))
    # Measuring slopes perturbs the circuit: what is reported is a run without. The run left alone is among them.
    enough_pu_s = min(row.integral_violation_pu_s or 0.0 for row, _ in tried) + _EQUAL_PU_S
    least = [entry for entry in tried if (entry[0].integral_violation_pu_s or 0.0) <= enough_pu_s]
    best = max(least, key=lambda entry: (entry[0].kept or 0.0, entry[0].throughput_share or 0.0))[1]
    return case_row("clairvoyant", setting.run_unnamed(scenario, best))


def _scheduled(schedules: dict[str, dict[str, BatchSizeSchedule]]) -> ControllersOf:
    return lambda run: [
        BatchSizeScheduleController(datacenter=run.datacenters[site], schedules=by_model, dt_s=run.grid.dt_s)
        for site, by_model in schedules.items()
    ]


def _held(run: Assembly, figures: OutputFigures) -> NDArray[np.int64]:
    """Places of the sizes in force among an output's sizes, shape (step, output)."""
    held = []
    for output in figures.outputs:
        record = run.datacenters[output.site].record
        held.append(np.searchsorted(output.batch_sizes, record.batch_size[:, record.labels.index(output.model)]))
    return np.array(held, dtype=np.int64).T


# --- tables


def case_row(case: str, run: Outcome) -> CaseRow:
    """The figures of a run that are reported."""
    if run.failure is not None:
        return CaseRow(case, run.scenario, failure=str(run.failure))
    return CaseRow(
        case,
        run.scenario,
        run.voltage.integral_violation_pu_s,
        run.voltage.violation_time_s / 60.0,
        run.summary.throughput_share,
        run.summary.latency_miss_share,
        run.summary.batch_switches,
        float(run.kept),
        broken="; ".join(check.name for check in run.verdict.broken),
        reasons="; ".join(run.reasons),
    )


def mean_rows(rows: Sequence[CaseRow], seed: int = 0, *, against: str = "", n_draws: int = 2000) -> list[MeanRow]:
    """Means by case and metric; with `against`, of the differences to that case scenario by scenario."""
    cases = list(dict.fromkeys(row.case for row in rows))
    by_key = {(row.case, row.scenario): row for row in rows}
    failed = {row.scenario for row in rows if row.failure}
    scenarios = [s for s in dict.fromkeys(row.scenario for row in rows) if s not in failed]
    if not scenarios:
        return []
    draws = bootstrap_draws(len(scenarios), seed, n_draws)
    found = []
    for case in cases:
        if case == against:
            continue
        for metric in METRICS:
            values = np.array([float(getattr(by_key[case, s], metric)) for s in scenarios])
            if against:
                values = values - np.array([float(getattr(by_key[against, s], metric)) for s in scenarios])
            mean, low, high = mean_and_interval(values, draws)
            found.append(MeanRow(case, metric, len(scenarios), mean, low, high, against))
    return found
