"""Coordination by statements, solvers and baselines of a user's choice: what they promise, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from coordination_runs import DAY, PEAK, run

from g2g_opt.errors import InputError
from studies.coordination_policy.baselines import check_baseline, fit_baseline, read_baseline
from studies.coordination_policy.study import CoordinationStudy
from studies.shared import stated_solver
from studies.shared.task import Row, gather

pytestmark = pytest.mark.xdist_group("coordination_statements")

FEW = replace(PEAK, q=(12,), n_ties=0)


def savings(study: CoordinationStudy) -> dict[str, Row]:
    study.check()
    return {str(row["policy"]): row for row in gather(run(study), "savings")}


@pytest.fixture(scope="module")
def by_matrices() -> dict[str, Row]:
    return savings(replace(FEW, baselines=("Ridge(alpha=10)", "SVR", "RandomForestRegressor(n_estimators=5)")))


def test_a_policy_trained_from_the_statement_costs_the_same_with_a_certificate(by_matrices: dict[str, Row]) -> None:
    own, stated = by_matrices["contextual"], savings(replace(FEW, statement="cvxpy"))["contextual"]
    assert stated["certified"]
    assert stated["residual"] <= 1e-6
    assert "CVXPY" in stated["solver"]
    assert stated["training_cost"] == pytest.approx(own["training_cost"], rel=1e-6)
    # Records that were not trained on see which of many optima it is.
    assert stated["saving_share"] == pytest.approx(own["saving_share"], abs=0.01)


def test_baselines_are_judged_as_policies_are(by_matrices: dict[str, Row]) -> None:
    names = [name for name in by_matrices if name not in ("none", "ideal", "contextual", "base regression")]
    assert names == ["Ridge(alpha=10)", "SVR", "RandomForestRegressor(n_estimators=5)"]
    for name in names:
        row = by_matrices[name]
        assert row["n_test"] == by_matrices["none"]["n_test"]
        assert by_matrices["ideal"]["cost"] * (1.0 - 1e-6) <= row["cost"]
        assert 0.0 <= row["refused_share"] <= 1.0
    # What is projected onto what datacenters accept is never refused by them for good: it saves at least something.
    projected = savings(replace(FEW, response="project", baselines=("Ridge(alpha=10)",)))["Ridge(alpha=10)"]
    assert projected["cost"] < by_matrices["none"]["cost"]
    assert projected["cost"] != by_matrices["Ridge(alpha=10)"]["cost"]


def test_a_baseline_is_the_regressor_it_names_and_moves_no_work_away() -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(size=(40, 4)) * [1.0, 1e3, 1e-3, 1.0]
    shift = features @ rng.normal(size=(4, 3)) / [1e3, 1.0, 1e2]
    shift -= shift.mean(axis=1, keepdims=True)
    exact = fit_baseline("LinearRegression", 0, features, shift)
    assert exact.shifts_mw(features) == pytest.approx(shift, abs=1e-9)
    assert exact.missed_mw2 == pytest.approx(0.0, abs=1e-12)
    forest = [fit_baseline("RandomForestRegressor(n_estimators=3)", seed, features, shift) for seed in (5, 5, 6)]
    asked = [one.shifts_mw(features) for one in forest]
    assert np.array_equal(asked[0], asked[1])
    assert not np.array_equal(asked[0], asked[2])
    assert np.abs(asked[0].sum(axis=1)).max() < 1e-9 * np.abs(shift).max()
    missed = ((asked[0] - shift) ** 2).sum(axis=1).mean() / 3.0
    assert forest[0].missed_mw2 == pytest.approx(missed)


def test_text_of_a_baseline_is_a_name_and_numbers_and_nothing_else() -> None:
    assert read_baseline("Ridge") == ("Ridge", {})
    assert read_baseline(" Ridge(alpha=1e2, fit_intercept=false,max_iter=7) ") == (
        "Ridge",
        {"alpha": 100.0, "fit_intercept": False, "max_iter": 7},
    )
    for text in ("", "Ridge(", "Ridge(alpha)", "a.b(c=1)", "Ridge(alpha=nan)", "Ridge(alpha=1,alpha=2)",
                 "Ridge(alpha=__import__('os'))", "Ridge(alpha=x)", "Ridge()()"):  # fmt: skip
        with pytest.raises(InputError, match="baseline"):
            read_baseline(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Rigde", "Ridge"),
        ("PCA", "regressor"),
        ("Ridge(nosuch=1)", "cannot be made"),
        ("Ridge(alpha=-1)", "cannot be fitted"),
        ("StackingRegressor", "cannot be made"),
    ],
)
def test_a_baseline_that_cannot_be_is_refused_before_work_begins(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(FEW, baselines=(text,)).check()
    with pytest.raises(InputError, match=words):
        check_baseline(text, 0)


def test_a_day_by_a_stated_program_costs_the_same() -> None:
    day = replace(DAY, n_days=1, alphas=(0.25,), time_limit_s=600.0, mip_gap=2e-3)
    day.check()
    own, stated = (gather(run(one), "days") for one in (day, replace(day, solver="pyomo:highs")))
    for mine, theirs in zip(own, stated, strict=True):
        assert theirs["reason"] == ""
        assert theirs["gap"] <= 2e-3 * (1.0 + 1e-6)
        assert theirs["cost"] == pytest.approx(mine["cost"], rel=2.1e-3)
        assert theirs["bound"] <= mine["cost"] * (1.0 + 1e-9)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"kind": "day-ahead", "solver": "scip"}, "pyomo:scip"),
        ({"kind": "day-ahead", "solver": "pyomo:"}, "solver must be"),
        ({"kind": "day-ahead", "solver": "pyomo:nosuch"}, "no interface for the solver 'nosuch'"),
        ({"solver": "pyomo:highs"}, "give --kind day-ahead"),
        ({"kind": "day-ahead", "statement": "cvxpy"}, "trains nothing"),
        ({"kind": "closed-loop", "baselines": ("Ridge",)}, "peak-hour"),
        ({"baselines": ("Ridge", "Ridge")}, "twice"),
    ],
)
def test_what_cannot_be_chosen_is_refused_in_words(changed: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        CoordinationStudy(**changed).check()  # type: ignore[arg-type]


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stated_solver, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"g2g-opt\[statements\]"):
        replace(FEW, statement="cvxpy").check()
