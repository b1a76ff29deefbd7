"""Searches for a latency margin and for eps, and what is said where they end at their caps."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from studies.coordination_policy import selection
from studies.coordination_policy.answer_peak_hour import _answer
from studies.coordination_policy.rows import MeanSavingRow
from studies.coordination_policy.study import CoordinationStudy

SUMMARY = MeanSavingRow(
    0.2,
    0.25,
    60,
    10.0,
    "contextual",
    cost_usd=None,
    saving_pct=1.0,
    saving_low_pct=1.0,
    saving_high_pct=1.0,
    captured_pct=50.0,
    refused_pct=30.0,
    latency_margin=0.75,
)


@pytest.mark.parametrize(("refused", "found"), [(0.05, (0.0, True)), (0.5, (0.75, False))])
def test_a_margin_that_is_not_enough_is_told_from_one_that_is(
    refused: float, found: tuple[float, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "_held_out", lambda *asked: [SimpleNamespace(refused_share=refused)])
    study = CoordinationStudy(refused_max=0.1)
    case: Any = None
    assert selection.choose_margin(study, case, np.arange(10), 10.0, lambda words: None) == found


def test_the_answer_says_where_the_search_ended_at_its_cap() -> None:
    assert "ended at its cap (0.75 on average)" in _answer([replace(SUMMARY, margin_enough=False)])
    assert "cap" not in _answer([SUMMARY])


def test_an_eps_at_the_end_of_those_compared_is_said() -> None:
    for eps, word in ((1000.0, "largest"), (0.1, "smallest")):
        row = replace(SUMMARY, eps=eps)
        assert f"the {word} of those compared" in _answer([row], eps_chosen=True)
        assert "of those compared" not in _answer([row])
    assert "of those compared" not in _answer([SUMMARY], eps_chosen=True)
