"""The modelled ripple: exact mean, stated size, one signal at every step length, within the GPU's range."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from g2g_opt.datacenter.workloads.ripple import (
    RippleModel,
    power_range_w,
    ripple_modes,
    ripple_template_w,
    sample_modes,
)
from g2g_opt.errors import InputError

WIDE = (0.0, float("inf"))


@settings(max_examples=30, deadline=None)
@given(
    mean_w=st.floats(150.0, 690.0),
    relative_std=st.floats(0.0, 0.3),
    dt_s=st.sampled_from([0.1, 0.5, 1.0, 2.0, 10.0]),
    seed=st.integers(0, 99),
)
def test_mean_is_exact_and_power_stays_in_range(mean_w: float, relative_std: float, dt_s: float, seed: int) -> None:
    template = ripple_template_w(mean_w, (70.0, 700.0), dt_s, RippleModel(relative_std, seed=seed), "m", 8)
    assert len(template) == round(600 / dt_s)
    assert template.mean() == pytest.approx(mean_w, rel=1e-12)
    if dt_s <= 1.0:
        assert template.min() >= 70.0
        assert template.max() <= 700.0


def test_size_is_as_stated_where_there_is_room() -> None:
    template = ripple_template_w(400.0, (70.0, 700.0), 0.1, RippleModel(relative_std=0.03), "m", 8)
    assert template.std() / 400.0 == pytest.approx(0.03, rel=1e-9)
    flat = ripple_template_w(400.0, (70.0, 700.0), 0.1, RippleModel(relative_std=0.0), "m", 8)
    np.testing.assert_allclose(flat, 400.0)


def test_every_step_length_samples_the_same_signal() -> None:
    fine, coarse = (ripple_template_w(400.0, WIDE, dt, RippleModel(), "m", 8) for dt in (Fraction(1, 10), 1.0))
    np.testing.assert_allclose(coarse, fine[::10], rtol=1e-12)


def test_samples_are_the_sum_of_the_modes() -> None:
    model = RippleModel(period_s=60.0)
    modes = ripple_modes(model, "m")
    assert len(modes) == 30  # k = 0 to 29, below 0.5 Hz of 60 s
    t_s = np.arange(12) * 5.0  # below half the rate of the fastest modes: they fold
    direct = sum((c * np.exp(2j * np.pi * k * t_s / 60.0)).real for k, c in enumerate(modes))
    np.testing.assert_allclose(sample_modes(modes, 12), direct, atol=1e-12)


def test_signal_forgets_itself_within_seconds_and_is_smooth() -> None:
    x = sample_modes(ripple_modes(RippleModel(), "m"), 6000)
    correlation = [float(np.mean(x * np.roll(x, -lag))) for lag in (1, 30, 300)]  # 0.1, 3, 30 s
    assert correlation[0] > 0.98
    assert correlation[1] == pytest.approx(np.exp(-1), abs=0.15)  # Ornstein-Uhlenbeck, tau = 3 s
    assert abs(correlation[2]) < 0.3


def test_key_and_seed_choose_the_signal() -> None:
    def template(seed: int, *key: str | int) -> np.ndarray:
        return ripple_template_w(400.0, WIDE, 1.0, RippleModel(seed=seed), *key)

    np.testing.assert_array_equal(template(0, "m", 8), template(0, "m", 8))
    for other in (template(1, "m", 8), template(0, "n", 8), template(0, "m", 16)):
        assert not np.array_equal(template(0, "m", 8), other)
    assert not template(0, "m", 8).flags.writeable


def test_a_gpu_near_its_limit_shows_less_ripple() -> None:
    template = ripple_template_w(693.0, power_range_w("H100"), 0.1, RippleModel(), "m", 8)
    assert template.max() < 700.0
    assert 0.0 < template.std() < 0.03 * 693.0 / 5
    assert power_range_w("another") == WIDE


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="does not divide"):
        ripple_template_w(400.0, WIDE, 0.7, RippleModel(), "m")
    with pytest.raises(InputError, match="dt_s must be positive"):
        ripple_template_w(400.0, WIDE, 0.0, RippleModel(), "m")
    with pytest.raises(InputError, match="mean power"):
        ripple_template_w(0.0, WIDE, 0.1, RippleModel(), "m")
    for bad in ({"relative_std": -0.1}, {"correlation_time_s": 0.0}, {"period_s": 1.0}):
        with pytest.raises(InputError, match=next(iter(bad))):
            RippleModel(**bad)
