"""One draw of training records of the peak-hour study: what is trained on them, judged on all others (equations 9.5 to
9.7).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from g2g_opt.errors import number_of
from g2g_opt.randomness import keyed_generator
from solvers.outcome import SolverError
from solvers.policy_training.base_regression import train_base_regression
from solvers.quadratic.interior_point import Watch
from studies.coordination_policy.ac_check import Operated, check_ac
from studies.coordination_policy.baselines import fit_baseline
from studies.coordination_policy.peak_hour import (
    PeakCase,
    fit_contextual,
    judge_policy,
    judge_shifts,
    judged_row,
    operate,
    policy_of,
    used_features,
)
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.rows import FeatureRow, LostRow, NoteRow, OfDraw, SavingRow, TrainedPolicyRow
from studies.coordination_policy.selection import choose_eps, choose_margin
from studies.coordination_policy.setting import draw_records, scale_of
from studies.coordination_policy.shifts import moved_tables
from studies.shared.task import Row
from studies.shared.typed_rows import TypedRow, to_rows

# Between words on a training that takes longer.
_TOLD_EVERY_S = 5.0
_NO_DISPATCH = "no dispatch was certified{}; in no mean, and not trained on"


def _why(case: PeakCase, record: int) -> str:
    """Why a record can have no dispatch, if that is known: what must run gives more than is drawn."""
    drawn = float(case.records.load_mw[record].sum() - case.records.injected_mw[record].sum())
    drawn += float(case.setting.base_mw.sum())
    least = float(case.setting.dispatch.power_min_mw.sum())
    if least <= drawn:
        return ""
    return f" (generators give {least:,.6g} MW at least, more than the {drawn:,.6g} MW that are drawn)"


def _watching(report: Callable[..., None], training: str) -> Watch:
    """Tells how far a training is, every so many seconds."""
    told_s = time.monotonic()

    def watch(step: int, miss: float) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= _TOLD_EVERY_S:
            told_s = time.monotonic()
            report(f"{training}: step {step}, {miss:.0e} of the cost from the optimum", 0.0)

    return watch


def study_draw(
    question: CoordinationQuestion, case: PeakCase, q: int, draw: int, report: Callable[..., None]
) -> dict[str, list[Row]]:
    """Rows of one draw of q training records: savings by policy and eps, what is used, and the policies.

    A training without a certificate is a row without figures.
    """
    setting = case.setting
    # What has no dispatch is a reason in the answer, and in no figure.
    drawn = draw_records(question.seed, draw, len(case.records.dates), q)
    solved = np.flatnonzero(case.base.solved & case.ideal.solved)
    train = np.intersect1d(drawn, solved)
    test = np.setdiff1d(solved, drawn)
    rest = np.setdiff1d(np.arange(len(case.records.dates)), drawn)
    for kept, of, use in ((train, drawn, "trained on"), (test, rest, "judged on")):
        if len(of) and not len(kept):
            raise SolverError(
                f"none of the {number_of(len(of), 'record')} to be {use} has a dispatch{_why(case, of[0])}"
            )
    about = OfDraw(setting.penetration, setting.alpha, q, draw)
    savings = [
        SavingRow(**vars(about), **vars(judged_row(case, test, name, found.cost_usd, found.shed_mw, None, None)))
        for name, found in (("none", case.base), ("ideal", case.ideal))
    ]
    operated = {
        "none": Operated.of(case.base, setting.base_mw, test),
        "ideal": Operated.of(case.ideal, case.ideal.theta_mw, test),
    }
    features: list[FeatureRow] = []
    policies: list[TrainedPolicyRow] = []
    for eps in question.eps_of() if question.eps is not None else (choose_eps(question, case, train, report),):
        margin, enough = choose_margin(question, case, train, eps, report)
        shifts = case.ideal.theta_mw[train] - setting.base_mw
        scale = scale_of(case.features[train]) if question.scaled else None
        contextual = fit_contextual(
            question, case, train, eps, margin, watch=_watching(report, f"contextual, eps {eps:g}")
        )
        knows = replace(case, setting=setting.knowing(contextual.limits))
        trained = {
            ("base regression", 0): train_base_regression(
                case.features[train], shifts, eps, scale=scale, free_intercept=question.free_intercept
            ),
            ("contextual", 0): contextual,
        }
        for k in range(question.ties_of()):
            shape = (setting.network.n, 1 + case.features.shape[1])
            direction = keyed_generator(question.seed, "tie", draw, k).normal(size=shape)
            trained["contextual", k + 1] = fit_contextual(
                question,
                knows,
                train,
                eps,
                margin,
                direction,
                contextual.begin,
                _watching(report, f"contextual, tie {k + 1}, eps {eps:g}"),
            )
        for (name, tie), policy in trained.items():
            report(f"{name}{f', tie {tie}' if tie else ''}, eps {eps:g}: {policy.seconds:.1f} s")
            row = judge_policy(question, case, test, name, policy)
            how: dict[str, Any] = {"eps": eps, "tie": tie, "latency_margin": margin, "margin_enough": enough}
            savings.append(SavingRow(**vars(about), **vars(row), **how))
        if contextual.certified:
            features.append(used_features(about, eps, case, train, contextual))
            counted = {"scaled": question.scaled, "free_intercept": question.free_intercept}
            told = {"settings": question.settings, **vars(about), "eps": eps, "latency_margin": margin, **counted}
            policies.append(TrainedPolicyRow(**vars(about), eps=eps, json=policy_of(case, contextual, told).to_json()))
            asked = contextual.shifts_mw(case.features[test])
            operated[f"contextual, eps {eps:g}"] = operate(question, case, test, asked)[0]
    for text in question.baselines:
        report(f"baseline {text}")
        fitted = fit_baseline(text, question.seed, case.features[train], case.ideal.theta_mw[train] - setting.base_mw)
        asked = fitted.shifts_mw(case.features[test])
        row = judge_shifts(question, case, test, text, asked)
        row = replace(row, training_s=fitted.seconds, training_cost=fitted.missed_mw2, solver="scikit-learn")
        savings.append(SavingRow(**vars(about), **vars(row)))
        operated[text] = operate(question, case, test, asked)[0]
    lost = [
        LostRow(**vars(about), date=case.records.dates[k], reason=_NO_DISPATCH.format(_why(case, int(k))))
        for k in np.flatnonzero(~(case.base.solved & case.ideal.solved))
    ]
    tables: dict[str, Sequence[TypedRow]]
    tables = {"savings": savings, "features": features, "policies": policies, "lost": lost}
    tables |= moved_tables(about, setting, {name: how.theta_mw[how.solved] for name, how in operated.items()})
    if case.network is not None:
        tables |= check_ac(about, case.network, test, operated, report, question.n_1)
        tables["network_notes"] = [NoteRow(note) for note in case.network.case.notes]
    return {name: to_rows(rows) for name, rows in tables.items()}
