"""Numbers in arrays, and numbers whose product is too much."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from number_examples import FEATURE, OUTPUT, SPEC, TERM

from g2g_opt.datacenter.workloads.inference import InferenceTemplateStore, read_trace
from g2g_opt.datacenter.workloads.training import TrainingTrace
from g2g_opt.errors import InputError
from g2g_opt.feeder_policy import FeederPolicy
from g2g_opt.grid.load import ConstantLoad, CSVProfileLoad, SampledLoad
from g2g_opt.held_series import HeldSeries
from g2g_opt.hourly_profile import HourlyProfile
from g2g_opt.quantities import STEPS_MAX
from g2g_opt.scenario import ReplicaShares
from g2g_opt.transmission.policy import ContextualPolicy
from studies.datacenter_location.study import LocationStudy
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.shared.site_choices import ServedModel, SiteChoice

# --- nouns made of arrays


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300])
def test_arrays_with_numbers_that_cannot_be_are_refused(bad: float) -> None:
    at = np.array(["2018-01-01T00:00"], dtype="datetime64[s]").astype(object)[0]
    for make in (
        lambda: HourlyProfile("year", (at, at), (0.5, bad), (0.0, 0.0)),
        lambda: HourlyProfile("year", (at,), (0.5,), (bad,)),
        lambda: HourlyProfile("year", (at,), (0.5,), (0.5,), (bad,)),
        lambda: HeldSeries((1.0, bad), 60.0),
        lambda: HeldSeries((1.0,), bad),
        lambda: ConstantLoad(bad),
        lambda: SampledLoad(np.array([0.0, 1.0]), np.array([1.0, bad])),
        lambda: SampledLoad(np.array([0.0, bad]), np.array([1.0, 1.0])),
        lambda: InferenceTemplateStore({"m": {8: np.array([100.0, bad])}}),
        lambda: TrainingTrace(np.array([0.0, 1.0]), np.array([1.0, bad])),
        lambda: ContextualPolicy(("a", "b"), (TERM,), np.array([[0.0, bad], [0.0, -bad]])),
        lambda: ContextualPolicy(("a", "b"), (TERM,), np.array([[bad, 0.0], [-bad, 0.0]])),
    ):
        with pytest.raises(InputError):
            make()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -0.1, 1e9, True, "0.5", None, 10**400])
def test_one_number_among_thousands_is_named(bad: Any) -> None:
    hours = tuple(datetime(2018, 1, 1) + timedelta(hours=k) for k in range(100))
    share = [0.5] * 100
    HourlyProfile("year", hours, tuple(share), tuple(share))
    share[77] = bad
    with pytest.raises(InputError, match=r"generation_share\[77\]"):
        HourlyProfile("year", hours, (0.5,) * 100, tuple(share))
    ramps = [(3600.0 * k, 3600.0 * k, 0.5) for k in range(100)]
    ReplicaShares("site", 1.0, tuple(ramps))
    for wrong in ((ramps[77][0], ramps[77][1], bad), (ramps[77][0], ramps[77][1])):
        broken = (*ramps[:77], wrong, *ramps[78:])
        with pytest.raises(InputError, match=r"ramps\[77\]"):
            ReplicaShares("site", 1.0, broken)


def test_a_file_of_samples_out_of_range_is_named(tmp_path: Path) -> None:
    profile = tmp_path / "load.csv"
    for text, words in (
        ("t,kw\n0,5\n1,1e12\n", r"power_kw\[1\] must lie in"),
        ("t,kw\n1,5\n0,5\n", "time must not decrease"),
    ):
        profile.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=rf"load\.csv[:,] .*{words}"):
            CSVProfileLoad(profile)
    trace = tmp_path / "trace.csv"
    rows = [f"{b},{t},{power}" for b in (8, 16) for t, power in ((0, 300.0), (1, 1e8 if b == 16 else 300.0))]
    trace.write_text("\n".join(["batch_size,relative_time_s,power_total_W", *rows]), encoding="utf-8")
    with pytest.raises(InputError, match=r"trace\.csv, batch size 16, step \[1\] must lie in \[0, 100000\] W per GPU"):
        read_trace(trace, SPEC, 1)


def test_an_absurd_slope_is_named() -> None:
    with pytest.raises(InputError, match=r"load\.West@1h of datacenter 'a' must lie in .* MW per unit, got 1000000"):
        ContextualPolicy(("a", "b"), (TERM,), np.array([[0.0, 1e12], [0.0, -1e12]]))
    with pytest.raises(InputError, match=r"FeederPolicy\.gain\[0\]\[0\] must lie in \[-10000, 10000\], got"):
        FeederPolicy((FEATURE,), (OUTPUT,), (0.5,), ((1e9,),))


# --- numbers whose product is too much


def test_more_sets_of_buses_than_can_be_searched_are_refused_at_once() -> None:
    study = HostingCapacityStudy(feeder="ieee123", n_sites=12)
    with pytest.raises(InputError, match=r"n_sites 12 of \d+ buses are \d+ sets, more than the 100000"):
        study.resolve_sets(study.load_feeder())


def test_a_finalist_of_too_many_steps_is_refused_before_it_is_run() -> None:
    site = SiteChoice("a", (ServedModel("llama-3.1-8b", 80),), candidates=("671",))
    study = LocationStudy(feeder="ieee13", sites=(site,), finalist_dt_s=Fraction(1, 100_000))
    with pytest.raises(InputError, match=f"360000000 steps; a run has at most {STEPS_MAX}"):
        study.check()
