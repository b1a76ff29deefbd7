"""What a grid refuses, before anything runs; and what it does with load it cannot serve (equation 5.2)."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from grid_runs import run
from steady_site import SteadySite

from g2g_opt.coordinator import Coordinator
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.grid.command import GridCommand, SetTaps
from g2g_opt.grid.generator import ConstantGenerator
from g2g_opt.grid.load import ConstantLoad
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.grid.storage import BatteryStorage
from g2g_opt.tap_position import TapPosition

# --- attaching


def test_attaching_at_a_missing_bus_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"bus '6711' not found in feeder ieee13; did you mean.*671.*known"):
        OpenDSSGrid(feeder="ieee13").attach_dc(SteadySite(), bus="6711")


@pytest.mark.parametrize(("bus", "lacks"), [("645", "A"), ("611", "A, B"), ("652", "B, C")])
def test_attaching_at_a_bus_without_all_phases_names_them_and_the_three_phase_buses(bus: str, lacks: str) -> None:
    with pytest.raises(InputError, match=rf"lacks {lacks}; three-phase buses: .*'671'"):
        OpenDSSGrid(feeder="ieee13").attach_dc(SteadySite(), bus=bus)


@pytest.mark.parametrize("name", ["two words", 'quo"te', "it's", "a;b", "a.b", "a=b", "", "x\nClear", "[a]", "ümlaut"])
def test_names_unsafe_in_an_opendss_command_are_refused(name: str) -> None:
    grid = OpenDSSGrid(feeder="ieee13")
    with pytest.raises(InputError, match=r"use letters, digits, '_' and '-' only"):
        grid.attach_dc(SteadySite(name), bus="671")
    with pytest.raises(InputError, match=r"use letters, digits, '_' and '-' only"):
        grid.attach_storage(BatteryStorage(name, 10.0, 10.0), bus="671")
    assert grid.attached_datacenters == []


def test_a_name_with_a_trailing_newline_is_refused() -> None:
    with pytest.raises(InputError, match="not safe"):
        OpenDSSGrid(feeder="ieee13").attach_dc(SteadySite("dc\n"), bus="671")


def test_duplicates_are_refused_whatever_their_case() -> None:
    grid = OpenDSSGrid(feeder="ieee13")
    site, battery = SteadySite("dc"), BatteryStorage("bat", 10.0, 10.0)
    grid.attach_dc(site, bus="671")
    grid.attach_storage(battery, bus="671")
    with pytest.raises(InputError, match="already attached"):
        grid.attach_dc(site, bus="675")
    with pytest.raises(InputError, match="names must differ"):
        grid.attach_dc(SteadySite("DC"), bus="675")
    with pytest.raises(InputError, match="already attached"):
        grid.attach_storage(battery, bus="675")
    with pytest.raises(InputError, match="already attached"):
        grid.attach_storage(BatteryStorage("BAT", 10.0, 10.0), bus="675")


def test_names_of_different_kinds_of_attachment_do_not_collide() -> None:
    grid = OpenDSSGrid(feeder="ieee13")
    grid.attach_dc(SteadySite("x"), bus="671")
    grid.attach_storage(BatteryStorage("x", 10.0, 10.0), bus="671")
    grid.attach_dc(SteadySite("gen_0"), bus="671")
    grid.attach_generator(ConstantGenerator(10.0), bus="671")
    grid.attach_load(ConstantLoad(10.0), bus="671")
    run(grid)
    assert grid.record.n_steps == 2


def test_attaching_after_the_start_is_refused() -> None:
    grid = OpenDSSGrid(feeder="ieee13")
    grid.attach_dc(SteadySite("dc"), bus="671")
    grid.start()
    attempts: list[tuple[Any, Any]] = [
        (grid.attach_dc, SteadySite("late")),
        (grid.attach_generator, ConstantGenerator(1.0)),
        (grid.attach_load, ConstantLoad(1.0)),
        (grid.attach_storage, BatteryStorage("late", 1.0, 1.0)),
    ]
    for attach, thing in attempts:
        with pytest.raises(InputError, match=r"after start\(\); attach before the run"):
            attach(thing, bus="675")


@pytest.mark.parametrize("power_factor", [0.0, -0.9, 1.01, float("nan"), float("inf")])
def test_power_factors_outside_0_to_1_are_refused(power_factor: float) -> None:
    grid = OpenDSSGrid(feeder="ieee13")
    with pytest.raises(InputError, match=r"power_factor must lie in \(0, 1\]"):
        grid.attach_dc(SteadySite(), bus="671", power_factor=power_factor)
    with pytest.raises(InputError, match=r"power_factor must lie in \(0, 1\]"):
        grid.attach_load(ConstantLoad(1.0), bus="671", power_factor=power_factor)
    with pytest.raises(InputError, match=r"power_factor must lie in \(0, 1\]"):
        grid.attach_generator(ConstantGenerator(1.0), bus="671", power_factor=power_factor)


def test_an_unknown_connection_names_the_two_there_are() -> None:
    with pytest.raises(InputError, match="'wye' or 'delta'"):
        OpenDSSGrid(feeder="ieee13").attach_dc(SteadySite(), bus="671", connection_type="star")


BAD_WINDOWS = [(0.5, 1.2), (1.0, 1.2), (0.8, 1.0), (1.2, 0.8), (0.3, 1.1), (float("nan"), 1.2), (0.8, float("nan"))]


@pytest.mark.parametrize("window", BAD_WINDOWS, ids=str)
def test_windows_not_around_1_are_refused_for_the_grid(window: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="constant_power_window_pu"):
        OpenDSSGrid(feeder="ieee13", constant_power_window_pu=window)


@pytest.mark.parametrize("window", BAD_WINDOWS, ids=str)
def test_windows_not_around_1_are_refused_for_a_site(window: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="constant_power_window_pu"):
        OpenDSSGrid(feeder="ieee13").attach_dc(SteadySite(), bus="671", constant_power_window_pu=window)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"feeder": "ieee13", "dss_case_dir": ".", "dss_master_file": "x.dss"}, "not both"),
        ({"feeder": "ieee13", "dss_case_dir": "."}, "not both"),
        ({}, "feeder='ieee13'"),
        ({"dss_case_dir": "."}, "dss_master_file="),
        ({"feeder": "ieee14"}, "known feeders"),
        ({"dss_case_dir": "nowhere", "dss_master_file": "x.dss"}, r"x\.dss not found; bundled feeders"),
        ({"feeder": "ieee13", "unserved": "ignore"}, "'raise' or 'record'"),
        ({"feeder": "ieee13", "source_pu": 13.8}, "source_pu"),
        ({"feeder": "ieee13", "dt_s": Fraction(0)}, "dt_s must be positive"),
        ({"feeder": "ieee13", "initial_tap_position": TapPosition(regulators={"creg9z": 1.0})}, "known regulators"),
    ],
)
def test_grids_that_cannot_be_built_say_what_to_change(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        OpenDSSGrid(**options)


@pytest.mark.parametrize("option", [{"tolerance": 0.0}, {"tolerance": -1.0}, {"max_iterations": 0}], ids=str)
def test_a_solution_that_could_never_converge_is_refused(option: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(option))):
        OpenDSSGrid(feeder="ieee13", **option)


def test_a_site_attached_to_no_grid_ends_before_anything_runs() -> None:
    grid, attached, loose = OpenDSSGrid(feeder="ieee13"), SteadySite("here"), SteadySite("elsewhere")
    grid.attach_dc(attached, bus="671")
    with pytest.raises(InputError, match="elsewhere"):
        Coordinator(datacenters=[attached, loose], grid=grid, total_duration_s=1)
    assert attached.n_steps == loose.n_steps == 0


def test_reading_before_the_start_says_so() -> None:
    grid = OpenDSSGrid(feeder="ieee13")
    with pytest.raises(InputError, match=r"call start\(\) first"):
        grid.voltages_vector()
    assert grid.state is None


# --- taps


@pytest.mark.parametrize(
    ("taps", "words"),
    [
        ({}, "at least one tap"),
        ({"a": 1.0, "regulators": {"creg1a": 1.0}}, "not both"),
        ({"regulators": {"creg1a": 5}}, "ratio in pu"),
        ({"regulators": {"creg1a": float("nan")}}, "ratio in pu"),
    ],
)
def test_tap_positions_that_mean_nothing_are_refused(taps: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        TapPosition(**taps)


def test_the_phase_shorthand_needs_one_regulator_per_phase() -> None:
    with pytest.raises(InputError, match=r"\['creg1a', 'creg2a'\].*TapPosition\(regulators="):
        OpenDSSGrid(feeder="ieee34", initial_tap_position=TapPosition(a=1.05))
    with pytest.raises(InputError, match=r"one regulator on phase B.*ieee34"):
        OpenDSSGrid(feeder="ieee34", initial_tap_position=TapPosition(b=1.05))
    grid = OpenDSSGrid(feeder="ieee13", initial_tap_position=TapPosition(a=1.05, b=1.0, c=0.9875))
    grid.attach_dc(SteadySite(), bus="671")
    run(grid)
    assert grid.tap_position == TapPosition(regulators={"creg1a": 1.05, "creg1b": 1.0, "creg1c": 0.9875})


def test_the_phase_shorthand_is_refused_where_a_ganged_regulator_moves_that_phase_too() -> None:
    # On the 123-bus feeder creg4b is the only regulator on phase B alone, but creg1a moves phase B as well.
    with pytest.raises(InputError, match=r"one regulator on phase B.*ieee123"):
        OpenDSSGrid(feeder="ieee123", initial_tap_position=TapPosition(b=1.0))


def test_a_command_for_an_unknown_regulator_or_of_an_unknown_kind_is_refused() -> None:
    grid = OpenDSSGrid(feeder="ieee13")
    grid.attach_dc(SteadySite(), bus="671")
    grid.start()
    events: Any = None
    with pytest.raises(InputError, match=r"regulator 'creg9' .*creg1a"):
        grid.apply_control(SetTaps(TapPosition(regulators={"creg9": 1.0})), events)
    with pytest.raises(InputError, match="SetTaps and SetStoragePower"):
        grid.apply_control(GridCommand(), events)


def test_a_tap_beyond_the_regulators_range_is_refused() -> None:
    # Its transformer has taps from 0.9 to 1.1; OpenDSS would take 1.3 without a word.
    with pytest.raises(InputError, match=r"creg1a.*0\.9.*1\.1"):
        OpenDSSGrid(feeder="ieee13", initial_tap_position=TapPosition(regulators={"creg1a": 1.3}))


def test_half_a_bad_command_moves_nothing() -> None:
    grid = OpenDSSGrid(feeder="ieee13")
    grid.attach_dc(SteadySite(), bus="671")
    grid.start()
    before = grid.tap_position
    events: Any = None
    with pytest.raises(InputError, match="creg9"):
        grid.apply_control(SetTaps(TapPosition(regulators={"creg1a": 0.95, "creg9": 1.0})), events)
    assert grid.tap_position == before


def test_kvar_follow_from_a_lagging_power_factor() -> None:
    grid = OpenDSSGrid(feeder="ieee13")
    grid.attach_dc(SteadySite("dc", 900.0), bus="671", power_factor=0.8)
    grid.attach_load(ConstantLoad(50.0), bus="680", power_factor=0.6)
    grid.attach_generator(ConstantGenerator(20.0), bus="675")
    run(grid)
    kw, kvar = grid._circuit.served_powers()  # type: ignore[union-attr]
    assert list(kw) == pytest.approx([300.0] * 3 + [50.0] * 3 + [-20.0] * 3, rel=1e-5)
    assert list(kvar) == pytest.approx(
        [225.0] * 3 + [50 * math.tan(math.acos(0.6))] * 3 + [0.0] * 3, rel=1e-5, abs=1e-3
    )


def test_an_isolated_bus_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "island.dss"
    path.write_text(
        "New Circuit.i bus1=head basekv=12.47\n"
        "New Line.one bus1=head bus2=mid r1=0.3 x1=0.4\nNew Line.two bus1=far bus2=away r1=0.3 x1=0.4\n"
        "Set VoltageBases=[12.47]\nCalcVoltageBases\n"
    )
    feeder = Feeder.from_dss(path)
    assert "far" in feeder.isolated_buses
    with pytest.raises(InputError, match="served by no source"):
        OpenDSSGrid(feeder=feeder).attach_dc(SteadySite(), bus="far")


def test_a_bus_without_a_voltage_base_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "baseless.dss"
    path.write_text("New Circuit.i bus1=head basekv=12.47\nNew Line.one bus1=head bus2=mid r1=0.3 x1=0.4\n")
    with pytest.raises(InputError, match="CalcVoltageBases"):
        OpenDSSGrid(feeder=Feeder.from_dss(path)).attach_dc(SteadySite(), bus="mid")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no rows"),
        ("0,5\n1,6\n", "no header"),
        ("t,kw\n0,nan\n", "finite"),
        ("t,kw\nnan,5\n", "finite"),
        ("t\n1\n", "two columns"),
        ("t,kw\n0,1\n# c\n2,1\n1,1\n", "line 5: time must not decrease"),
        ("t,kw\n0,1\n1\n", "line 3 has one cell"),
        ("t;kw\n0;1\n", "line 1 has one cell; .*: its cells are separated by semicolons, and commas are read"),
        ("bus,time_s,power_kw\n7,0,1\n7,1,2\n", "line 1 has 3 cells"),
        ("t,kw\n0,1,5\n", "line 2 has 3 cells"),
        ("power_kw,time_s\n1,0\n2,1\n", "'power_kw', where times in s belong"),
        ("time_s,time_h\n1,0\n2,1\n", "'time_h', where powers in kW belong"),
        ("time_ms,power_kw\n0,1\n", "'time_ms', where times in s belong"),
        ("Time (h),P (kW)\n0,1\n", r"'Time \(h\)', where times in s belong"),
        ("minutes,kW\n0,1\n", "'minutes', where times in s belong"),
        ("time_s,power_W\n0,1\n", "'power_W', where powers in kW belong"),
        ("t,P [MW]\n0,1\n", r"'P \[MW\]', where powers in kW belong"),
        ("t,load_kVA\n0,1\n", "'load_kVA', where powers in kW belong"),
    ],
)
def test_a_profile_file_that_cannot_be_read_says_what_it_needs(tmp_path: Path, text: str, words: str) -> None:
    from g2g_opt.grid.generator import CSVProfileGenerator

    path = tmp_path / "profile.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        CSVProfileGenerator(path)
    with pytest.raises(InputError, match="is a folder"):
        CSVProfileGenerator(tmp_path)


@pytest.mark.parametrize("header", ["t,kw", "time_s,power_kw", "Time (s),P [kW]", "seconds,x", "s,p", "h (s),W (kW),"])
def test_a_profile_may_name_its_columns_as_it_likes(tmp_path: Path, header: str) -> None:
    from g2g_opt.grid.load import CSVProfileLoad

    path = tmp_path / "profile.csv"
    path.write_text(f"{header}\n0,1\n2,5,\n")
    assert CSVProfileLoad(path).power_kw(1.0) == 3.0
