"""Chains of days that processes share, that are given up, or that have hours without a solution."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from g2g_opt.batch.chains import Chains
from g2g_opt.batch.operated_series import FeederOperation
from g2g_opt.batch.operating_points import Unit
from g2g_opt.feeder import Feeder
from g2g_opt.hourly_profile import load_profile
from studies.pv_datacenter_siting import operated_chains
from studies.pv_datacenter_siting.operated_chains import operation_of, run_chains
from studies.running.worker import belong_to
from studies.shared.run_processes import run_processes, sharing

FEEDER = Feeder.load("ieee13")
FIGURES = ("taps_pu", "rows", "losses_kw", "solved", "restless", "unbalance")


def hours(n_days: int) -> tuple[np.ndarray, np.ndarray]:
    """Own load and sun of days from the middle of June on."""
    profile = load_profile("hudson_valley_2018")
    rows = slice(24 * 165, 24 * (165 + n_days))
    return np.array(profile.load_share)[rows], np.array(profile.generation_share)[rows]


def over(voltage: np.ndarray, loading: np.ndarray) -> np.ndarray:
    """How far the highest voltage is above 1.03 pu, and the lowest."""
    return np.stack([np.maximum(voltage.max(axis=0) - 1.03, 0.0), voltage.min(axis=0)])


def chains(n: int, n_days: int, over_max: float | None = None) -> Chains:
    """PV from nothing to a lot, a chain each, under set-points of their own."""
    load, sun = hours(n_days)
    own = operation_of(FEEDER, "normal").set_points()
    kinds = [{name: replace(p, vreg_v=p.vreg_v + k % 3) for name, p in own.items()} for k in range(n)]
    kw = np.stack([-5000.0 * k / n * sun for k in range(n)])[None]
    return Chains([Unit("675")], kw, load, kinds, 24, reduce=over, over_max=over_max)


@pytest.mark.parametrize(("n", "n_days"), [(23, 5), (3, 60)])
def test_chains_shared_among_processes_are_those_of_one(n: int, n_days: int, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = chains(n, n_days)
    alone = run_chains(FEEDER, "normal", asked)
    taken: list[int] = []
    parts = Chains.parts
    monkeypatch.setattr(Chains, "parts", lambda self, n: (taken.append(n), parts(self, n))[1])
    with sharing(2, partial(belong_to, os.getpid())):
        beside = run_processes()
        assert beside is not None
        beside.start()
        assert beside._first is not None
        beside._first.result()
        shared = run_chains(FEEDER, "normal", asked)
        # What is kept whole stays in one process.
        run_chains(FEEDER, "normal", replace(asked, reduce=None))
        monkeypatch.setattr(operated_chains, "_WORTH_SHARING", n * n_days + 1)
        run_chains(FEEDER, "normal", asked)
    assert taken == [2]
    for name in FIGURES:
        np.testing.assert_array_equal(getattr(shared, name), getattr(alone, name), err_msg=name)
    assert shared.begins == alone.begins


def test_a_chain_that_is_given_up_is_told_as_its_last_day() -> None:
    """What keeps within what is asked is not touched; of what does not, at least as much is told as is asked."""
    whole = run_chains(FEEDER, "normal", chains(20, 12))
    outside = whole.rows[0].sum(axis=1)
    most = float(np.median(outside[outside > 0.0]))
    assert 0.0 < most < outside.max()
    part = run_chains(FEEDER, "normal", chains(20, 12, most))
    kept = outside <= most
    np.testing.assert_array_equal(part.rows[:, kept], whole.rows[:, kept])
    assert (part.rows[0, ~kept].sum(axis=1) > most).all()
    by_day = part.rows[0, ~kept].reshape((~kept).sum(), 12, 24)
    given_up = (by_day[:, 1:] == by_day[:, :-1]).all(axis=2) & (by_day[:, 1:] > 0.0).any(axis=2)
    assert given_up.any()


def test_an_hour_without_a_solution_leaves_those_behind_it_as_they_are() -> None:
    operation = FeederOperation(FEEDER)
    load, sun = hours(2)
    # Regulators that rest, so that the hours behind do not remember.
    wide = {name: replace(p, band_v=16.0) for name, p in operation.set_points().items()}
    kw = np.stack([-500.0 * sun, -500.0 * sun])
    kw[1, 5] = np.nan  # whatever power there is, OpenDSS's impedances beyond a window have a solution
    series = operation.run(Chains([Unit("675")], kw[None], load, [wide] * 2))
    assert series.solved[0].all()
    assert np.flatnonzero(~series.solved[1]).tolist() == [5]
    assert (series.taps_pu[0] == series.taps_pu[1]).all()
    others = np.arange(len(load)) != 5
    assert np.abs(series.rows[:, 0] - series.rows[:, 1])[:, others].max() < 1e-7
