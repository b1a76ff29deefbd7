"""What sizes and taps that were seen say of the voltages of another size."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose
from numpy.typing import NDArray

from studies.shared.voltage_forecast import VoltageForecast

Floats = NDArray[np.float64]

# Voltages of three nodes that fall straight with the size and move straight with two regulators.
_EMPTY, _PER_SIZE = np.array([1.02, 1.01, 1.0]), np.array([-1e-4, -2e-4, -3e-4])
_SLOPES = np.array([[1.0, 0.0], [0.9, 0.4], [0.8, 0.9]])
_START = np.array([1.0, 1.0])


def _lowest(size: float, ratio: Floats) -> Floats:
    return np.asarray(_EMPTY + _PER_SIZE * size + _SLOPES @ (ratio - _START))


def _seen(*runs: tuple[float, Floats]) -> VoltageForecast:
    forecast = VoltageForecast()
    for size, ratio in runs:
        forecast.note(size, ratio, _lowest(size, ratio), _lowest(size, ratio) + 0.03)
    return forecast


def test_two_sizes_under_other_taps_tell_a_third_where_all_is_straight() -> None:
    forecast = _seen((100.0, np.array([1.05, 1.0])), (160.0, np.array([1.0, 1.0125])))
    for size in (60.0, 130.0, 220.0):
        wanted = np.array([1.0125, 0.99])
        found = forecast.at(size, wanted, _SLOPES)
        assert found is not None
        assert_allclose(found[0], _lowest(size, wanted), atol=1e-12)
        assert_allclose(found[1], _lowest(size, wanted) + 0.03, atol=1e-12)


def test_nothing_seen_forecasts_nothing_and_one_size_forecasts_itself() -> None:
    assert VoltageForecast().at(100.0, _START, _SLOPES) is None
    found = _seen((100.0, _START)).at(150.0, _START, _SLOPES)
    assert found is not None
    assert_allclose(found[0], _lowest(100.0, _START))


def test_sizes_that_are_nearly_one_are_not_drawn_out_into_a_line() -> None:
    # 101 is off by two thousandths: from 100 to 200 that would be a fifth.
    forecast = _seen((100.0, _START))
    forecast.note(101.0, _START, _lowest(101.0, _START) + 0.002, _lowest(101.0, _START))
    found = forecast.at(200.0, _START, _SLOPES)
    assert found is not None
    assert np.abs(found[0] - _lowest(101.0, _START)).max() < 0.0021


def test_of_one_size_the_taps_tried_last_count() -> None:
    forecast = _seen((100.0, _START))
    forecast.note(100.0, _START, np.full(3, 0.9), np.full(3, 1.1))
    found = forecast.at(100.0, _START, _SLOPES)
    assert found is not None
    assert_allclose(found[0], 0.9)
