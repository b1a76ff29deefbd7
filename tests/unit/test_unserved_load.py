"""Overload, and loads outside their window: failures and records, never a number in silence."""

from __future__ import annotations

import math
from typing import Any

import pytest
from grid_runs import run
from steady_site import SteadySite

from g2g_opt.errors import InputError, PowerFlowError
from g2g_opt.failure import FailureKind
from g2g_opt.grid.generator import ConstantGenerator
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.tap_position import TapPosition


def test_an_overloaded_site_is_a_failure_with_a_reason_never_a_number() -> None:
    grid = OpenDSSGrid(feeder="ieee13")
    grid.attach_dc(SteadySite("big", 30_000.0), bus="671")
    with pytest.raises(PowerFlowError, match=r"t=0 s: .*(did not converge|asked for 10000\.0 kW and was served)"):
        run(grid)


@pytest.mark.parametrize("total_kw", [math.nan, math.inf])
def test_a_power_that_is_no_number_is_a_failure_and_not_a_result(total_kw: float) -> None:
    grid = OpenDSSGrid(feeder="ieee13")
    grid.attach_dc(SteadySite("broken", total_kw), bus="671")
    with pytest.raises((PowerFlowError, InputError)):
        run(grid)


@pytest.mark.parametrize("total_kw", [12_000.0, 20_000.0, 60_000.0])
def test_recording_unserved_load_never_hides_that_it_is_unserved(total_kw: float) -> None:
    grid = OpenDSSGrid(feeder="ieee13", unserved="record")
    grid.attach_dc(SteadySite("big", total_kw), bus="671")
    reason = ""
    try:
        run(grid)
    except PowerFlowError as error:
        reason = str(error)
    if reason:
        assert "did not converge" in reason
    else:
        assert grid.served.unserved_steps == 2
        assert "asked for" in str(grid.served.worst)


def low_voltage_grid(**options: Any) -> OpenDSSGrid:
    """A 6 MW site on the 13-bus feeder with its regulators at neutral: about 0.9 pu."""
    taps = TapPosition(regulators={"creg1a": 1.0, "creg1b": 1.0, "creg1c": 1.0})
    grid = OpenDSSGrid(feeder="ieee13", initial_tap_position=taps, **options)
    grid.attach_dc(SteadySite("six", 6_000.0), bus="670", power_factor=1.0)
    return grid


def test_a_narrow_window_is_counted_as_unserved_and_put_in_a_sentence() -> None:
    grid = low_voltage_grid(constant_power_window_pu=(0.95, 1.05), unserved="record")
    run(grid, 3)
    lowest_pu = min(v for v in grid.record[-1].voltages["670"])
    assert lowest_pu < 0.95
    assert grid.served.unserved_steps == 3
    steep = (1 / 0.95 - 0.5) / (0.95 - 0.5)  # (5.1), model 1 below its window
    served_kw = 2000.0 * lowest_pu * (0.5 + steep * (lowest_pu - 0.5))
    assert grid.served.worst.kind is FailureKind.NOT_SERVED
    sentence = str(grid.served.worst)
    assert "bus 670" in sentence
    assert "asked for 2000.0 kW" in sentence
    assert f"served {served_kw:.1f} kW" in sentence
    assert served_kw < 1990.0
    engine_kw, _ = grid._circuit.served_powers()  # type: ignore[union-attr]
    assert min(engine_kw) == pytest.approx(served_kw, rel=1e-4)


def test_unserved_steps_are_counted_once_whether_the_record_is_read_or_not() -> None:
    grid = low_voltage_grid(constant_power_window_pu=(0.95, 1.05), unserved="record")
    run(grid, 3)
    assert grid.served.unserved_steps == 3  # nothing of the record was read yet
    for _ in range(2):
        assert grid.record.voltage_pu.shape[0] == 3
        assert grid.served.unserved_steps == 3


def test_a_narrow_window_ends_the_run_unless_recording_was_asked_for() -> None:
    with pytest.raises(
        PowerFlowError, match=r"t=0 s: .*bus 670 asked for 2000\.0 kW and was served \d+\.\d kW at 0\.\d+ pu"
    ):
        run(low_voltage_grid(constant_power_window_pu=(0.95, 1.05)))


def test_the_default_window_serves_the_same_load_in_full() -> None:
    grid = low_voltage_grid()
    run(grid, 3)
    assert min(grid.record[-1].voltages["670"]) < 0.95
    assert grid.served.unserved_steps == 0
    assert grid.served.worst is None
    engine_kw, engine_kvar = grid._circuit.served_powers()  # type: ignore[union-attr]
    assert list(engine_kw) == pytest.approx([2000.0] * 3, rel=1e-5)
    assert list(engine_kvar) == pytest.approx([0.0] * 3, abs=0.05)


def test_an_attachment_that_asks_for_nothing_does_not_hide_one_that_is_not_served() -> None:
    # Photovoltaics at night at the end of the line: the lowest voltage is theirs, the shortfall is the site's.
    grid = low_voltage_grid(constant_power_window_pu=(0.95, 1.05), unserved="record")
    grid.attach_generator(ConstantGenerator(0.0), bus="675")
    run(grid)
    volts = grid.record[-1].voltages
    assert min(volts["675"]) < min(volts["670"]) < 0.95
    served_kw, _ = grid._circuit.served_powers()  # type: ignore[union-attr]
    assert min(served_kw[:3]) < 0.999 * 2000.0  # OpenDSS serves the site less than it asked for
    assert grid.served.unserved_steps == 2
    assert "bus 670 asked for 2000.0 kW" in str(grid.served.worst)
