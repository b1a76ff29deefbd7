"""The cheapest remedy of a kind that lets a request in: all are looked at in short runs, the cheapest then in full."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from g2g_opt.errors import InputError, PowerFlowError
from g2g_opt.feeder import Feeder
from g2g_opt.outcome import Engine
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from studies.connection_check.judging import try_plan
from studies.connection_check.question import ConnectionQuestion
from studies.connection_check.remedy import Remedy
from studies.connection_check.remedy_costs import RemedyCost
from studies.shared.side_by_side import run_side_by_side
from studies.shared.tap_search import TapTrial

# Remedies of a kind that are run in full, the cheapest of those that hold at rest.
_IN_FULL = 4


@dataclass(frozen=True, eq=False)
class TriedRemedy:
    """A remedy with what was simulated of it: at rest, in full if it held there, and on OpenDSS if that was kept too.

    `fault` says why the changed circuit could not be used.
    """

    remedy: Remedy
    cost: RemedyCost
    trial: TapTrial | None = None
    in_full: bool = False
    confirmed: TapTrial | None = None
    fault: str = ""

    @property
    def cures(self) -> bool:
        """True if every scenario keeps every limit on both engines."""
        return self.confirmed is not None and self.confirmed.kept

    @property
    def deciding(self) -> TapTrial | None:
        """The last word on it."""
        return self.confirmed or self.trial


def search_remedies(
    study: ConnectionQuestion,
    feeder: Feeder,
    cases: Sequence[tuple[Plan, Sequence[Scenario]]],
    priced: Sequence[tuple[Remedy, RemedyCost]],
    tell: Callable[[str], None],
) -> list[TriedRemedy]:
    """Every remedy, from the cheapest on, with what is known of it; the search ends with the first that cures.

    `cases` are the plans that have to hold, each in its scenarios: a remedy cures if all of them do with it.
    """
    rests = [(plan, study.rests(scenarios[0])) for plan, scenarios in cases]
    tried: list[TriedRemedy] = []
    for remedy, cost in sorted(priced, key=lambda one: (one[1].annual_usd, one[0].words)):
        tell(f"{remedy.words}: at rest")
        try:
            changed = remedy.feeder(feeder)
            trial = _run(study, changed, remedy, rests)
            full = trial.kept and sum(one.in_full for one in tried) < _IN_FULL
            if full:
                tell(f"{remedy.words}: in full")
                trial = _run(study, changed, remedy, cases)
            confirmed = _run(study, changed, remedy, cases, "opendss") if full and trial.kept else None
        except (InputError, PowerFlowError) as error:
            tried.append(TriedRemedy(remedy, cost, fault=str(error)))
            continue
        tried.append(TriedRemedy(remedy, cost, trial, full, confirmed))
        if tried[-1].cures:
            break
    return tried


def _run(
    study: ConnectionQuestion,
    changed: Feeder,
    remedy: Remedy,
    cases: Sequence[tuple[Plan, Sequence[Scenario]]],
    engine: Engine = "batch",
) -> TapTrial:
    """The worst of all cases with a remedy, on the feeder that it has `changed`."""
    wanted = [try_plan(remedy.plan(plan), scenarios, engine) for plan, scenarios in cases]
    return min(run_side_by_side(study, changed, wanted), key=lambda trial: trial.merit())
