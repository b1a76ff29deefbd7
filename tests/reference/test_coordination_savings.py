"""Savings of ideal and contextual coordination, as recorded with an independent model of our own (equation 9.7).

Split of the records: the first draw of seed 256, 250 of 546 for training; eps 10; what is saved on the other 296.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from g2g_opt.transmission.system import Settings, load_peak_records
from studies.coordination_policy.draws import study_draw
from studies.coordination_policy.peak_hour import make_case
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.setting import draw_records, make_setting

N_RECORDS, N_TRAIN, SEED = 546, 250, 256

# (penetration, alpha): ideal saving in %, published and physical settings.
IDEAL = {
    (0.10, 0.25): (7.8, 1.5),
    (0.20, 0.25): (15.1, 3.8),
    (0.20, 1.00): (27.3, 4.9),
    (0.20, 2.00): (37.5, 5.0),
    (0.30, 0.25): (24.1, 6.1),
    (0.35, 1.00): (48.0, 6.0),
    (0.35, 2.00): (57.3, 6.0),
}
# What no coordination costs at 20 %: mean over the test records in $, days of all 546 on which load is shed.
UNCOORDINATED: dict[Settings, tuple[float, int]] = {"published": (761_870.0, 36), "physical": (396_790.0, 0)}
CONTEXTUAL: dict[tuple[Settings, float, float], tuple[float, float]] = {
    ("physical", 0.2, 0.25): (2.4, 12.2),
    ("published", 0.2, 2.0): (37.5, 0.0),
}


def test_records() -> None:
    assert len(load_peak_records("physical").dates) == len(load_peak_records("published").dates) == N_RECORDS


def judged_on() -> NDArray[np.int64]:
    return np.setdiff1d(np.arange(N_RECORDS), draw_records(SEED, 0, N_RECORDS, N_TRAIN))


@pytest.mark.parametrize("settings", UNCOORDINATED)
def test_cost_without_coordination(settings: Settings) -> None:
    setting, records = make_setting(settings, 0.2, 0.25), load_peak_records(settings)
    base = setting.dispatched(records.load_mw, records.injected_mw, setting.base_mw)
    mean_cost, n_short = UNCOORDINATED[settings]
    assert base.cost_usd[judged_on()].mean() == pytest.approx(mean_cost, rel=1e-3)
    assert (base.shed_mw.sum(axis=1) > 1.0).sum() == n_short


@pytest.mark.parametrize("settings", UNCOORDINATED)
@pytest.mark.parametrize("penetration", sorted({p for p, _ in IDEAL}))
def test_ideal_savings(settings: Settings, penetration: float) -> None:
    records, at = load_peak_records(settings), judged_on()
    load, injected = records.load_mw[at], records.injected_mw[at]
    without: float | None = None
    for alpha in (alpha for p, alpha in IDEAL if p == penetration):
        setting = make_setting(settings, penetration, alpha)
        if without is None:  # loads without coordination do not know alpha
            without = float(setting.dispatched(load, injected, setting.base_mw).cost_usd.mean())
        ideal = setting.ideal(load, injected)
        assert ideal.solved.all()
        assert all(certificate.holds for certificate in ideal.certificates)
        expected = IDEAL[penetration, alpha][0 if settings == "published" else 1]
        assert 100.0 * (1.0 - ideal.cost_usd.mean() / without) == pytest.approx(expected, abs=0.2), alpha


@pytest.mark.parametrize(("settings", "penetration", "alpha"), CONTEXTUAL)
def test_contextual_savings(settings: Settings, penetration: float, alpha: float) -> None:
    question = CoordinationQuestion(
        settings=settings, penetrations=(penetration,), alphas=(alpha,), eps=(10.0,), q=(N_TRAIN,), n_ties=0, seed=SEED
    )
    rows = study_draw(question, make_case(question, penetration, alpha), N_TRAIN, 0, lambda *_: None)["savings"]
    by_policy = {str(row["policy"]): row for row in rows}
    saving, refused = CONTEXTUAL[settings, penetration, alpha]
    own = by_policy["contextual"]
    assert own["certified"]
    assert 100.0 * own["saving_share"] == pytest.approx(saving, abs=0.3)
    assert 100.0 * own["refused_share"] == pytest.approx(refused, abs=2.0)
    assert own["saving_share"] <= by_policy["ideal"]["saving_share"] + 1e-6
    assert own["n_test"] == N_RECORDS - N_TRAIN
