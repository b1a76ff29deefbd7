"""What the circuit of a question is like without a site, in the state that is studied."""

from __future__ import annotations

from dataclasses import replace

from g2g_opt.base_case import WRONG, BaseCase, solve_base_case
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.scenario import Scenario
from studies.shared.conclusion import Conclusion
from studies.shared.task import Question


def studied_limits(question: Question) -> Limits:
    """The limits of a question; the usual ones where it has none."""
    return getattr(question, "limits", None) or Limits()


def studied_load_level(question: Question) -> float:
    """The circuit's own load in the question's scenario, as a share of what its data have."""
    scenario = getattr(question, "scenario", None)
    return scenario.own_load_share if isinstance(scenario, Scenario) else 1.0


def studied_base_case(question: Question, feeder: Feeder) -> BaseCase:
    """The circuit solved without a site."""
    basis = studied_limits(question).rating_basis
    return solve_base_case(feeder, studied_load_level(question), basis, settled=_is_settled(question))


def with_base_case_note(conclusion: Conclusion, question: Question, feeder: Feeder, base: BaseCase) -> Conclusion:
    """A conclusion that also says what the circuit breaks without a site, ahead of its other warnings."""
    broken, answer = base.breaks(studied_limits(question)), conclusion.answer
    if base.implausible and feeder.initial_taps is None:
        # Whatever binds, it is not what it seems.
        answer = f"A {WRONG} of the circuit must be wrong: {base.implausible[0]} without any site. {answer}"
    elif (other := base.of_another_base(studied_limits(question))) and feeder.initial_taps is None:
        answer = f"{other[0].upper()}{other[1:]}. {answer}"
    if base.headline:
        answer = f"{base.headline[0].upper()}{base.headline[1:]}. {answer}"
    # The taps that studies of a bundled feeder begin with are no state that it came to rest in.
    is_told = broken and (_is_settled(question) or feeder.initial_taps is None)
    words = (f"without any site, in the state that is studied: {broken}",) if is_told else ()
    beside = (f"without any site {base.second}",) if base.second is not None else ()
    return replace(
        conclusion, answer=answer, warnings=(*words, *beside, *conclusion.warnings), base_case=base.state.value
    )


def _is_settled(question: Question) -> bool:
    return getattr(question, "taps", "") == "own control"
