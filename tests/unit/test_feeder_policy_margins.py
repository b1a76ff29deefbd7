"""What is said of a margin that is the largest one tried."""

from __future__ import annotations

import pytest

from studies.feeder_policy.answer import _at_largest
from studies.feeder_policy.cases import TrainingRound


def rounds(case: str, *margins_pu: float) -> list[TrainingRound]:
    return [TrainingRound(case, margin_pu, k, None, 0.0, None, 0.0) for margin_pu in margins_pu for k in range(2)]


@pytest.mark.parametrize(
    ("chosen_pu", "tried_pu", "said"), [(0.003, (0.0, 0.003), True), (0.0, (0.0, 0.003), False), (0.0, (0.0,), False)]
)
def test_a_margin_at_the_end_of_those_tried_is_said(chosen_pu: float, tried_pu: tuple[float, ...], said: bool) -> None:
    words = _at_largest({"ofo": chosen_pu}, rounds("ofo", *tried_pu) + rounds("droop", 0.01))
    assert ("of ofo (0.003 pu): a larger one may do better" in words) == said
    assert bool(words) == said
