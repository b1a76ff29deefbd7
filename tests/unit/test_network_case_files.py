"""Files of transmission networks: read as another reader reads them, and refused with the table and the row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matpowercaseframes import CaseFrames

from g2g_opt.errors import InputError
from g2g_opt.transmission.case_costs import CostPiece, UnitCost
from g2g_opt.transmission.network_case import BUNDLED_CASE, NetworkCase, case_path, load_network_case

CASE = """function mpc = small
mpc.version = '2';
mpc.baseMVA = 100;
mpc.bus = [
  1 3 0  0  0 0 1 1 0 230 1 1.05 0.95;
  2 1 60 20 0 0 1 1 0 230 1 1.05 0.95;
];
mpc.gen = [
  1 0 0 300 -300 1 100 1 300 0;
];
mpc.branch = [
  1 2 0.01 0.1 0 140 0 0 0 0 1 -360 360;
];
mpc.gencost = [
  2 0 0 3 0 20 0;
];
"""


# A DC line from bus 1 to bus 2 that is scheduled for some MW, and may carry up to some.
DC_LINE = "mpc.dcline = [\n 1 2 1 {} 0 0 0 1 1 0 {} 0 0 0 0 1 0.1;\n];\nmpc.gencost"


def load(folder: Path, text: str) -> NetworkCase:
    path = folder / "case.m"
    path.write_text(text, encoding="utf-8")
    return load_network_case(str(path))


def test_a_case_is_read_as_another_reader_reads_it() -> None:
    other = CaseFrames(str(case_path(BUNDLED_CASE)))
    ours = load_network_case(BUNDLED_CASE)
    assert ours.base_mva == other.baseMVA
    assert np.array_equal(ours.bus, other.bus.to_numpy(dtype=float))
    assert np.array_equal(ours.gen, other.gen.to_numpy(dtype=float))
    assert np.array_equal(ours.branch, other.branch.to_numpy(dtype=float))


@pytest.mark.parametrize(
    "change",
    [
        ("];", "] ;"),
        (";\n", "; % a note; with [brackets]\n"),
        ("\n", "\r\n"),
        ("60 20 0 0", "60, 20, 0, 0"),
        ("60 20 0 0", "60 20 ... to be continued\n 0 0"),
        ("mpc.bus = [\n", "% mpc.bus = [ 1 2 3 ];\nmpc.bus=["),
        ("mpc.gencost", "mpc.bus_name = {'mpc.gen = [1]'; 'b'};\nmpc.gencost"),
        ("0.95;\n  2 1", "0.95; 2 1"),
        ("1 0 0 300 -300", "1 0 0 Inf -Inf"),
    ],
)
def test_what_the_format_leaves_open_does_not_matter(change: tuple[str, str], tmp_path: Path) -> None:
    assert change[0] in CASE
    found = load(tmp_path, CASE.replace(*change))
    assert found.bus[:, 0].tolist() == [1.0, 2.0]
    assert found.bus[1, 2:4].tolist() == [60.0, 20.0]
    assert found.costs == (UnitCost((CostPiece(0.0, 300.0, 20.0, 0.0),), 0.0, 0.0),)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((CASE, ""), "lacks bus, gen, branch, gencost, baseMVA"),
        (("mpc.baseMVA = 100;", ""), "lacks baseMVA"),
        (("= 100;", "= 'x';"), "line 3: baseMVA is the text 'x', it must be numbers"),
        (("= 100;", "= 1e999;"), "baseMVA must be a finite number"),
        (("= 100;", "= [100 100];"), "line 3: baseMVA must be one number"),
        (("  1 0 0 300 -300 1 100 1 300 0;\n", ""), "lacks gen"),
        (("60 20 0 0", "60 x 0 0"), "line 6: '2 1 60 x 0 .*' uses 'x', which is not known here"),
        (("60 20 0 0", "60 20-1 0 0 1e3.5"), "line 6: .* '1e3.5', which is no number"),
        (("60 20 0 0", "60 20e5e 0 0"), "line 6: .* '20e5e', which is no number"),
        (("60 20 0 0", "60 20 0"), "line 6: .* has 12 columns in row 2 of the table; it needs 13 like row 1"),
        (("60 20 0 0", "60 20 3*0"), "line 6: .* has 12 columns in row 2 of the table; it needs 13 like row 1"),
        (("-300 1 100 1 300 0", "-300 1 100"), r"table gen \(line 8\) has 7 columns; it needs 10 or more"),
        (("60 20", "9" * 200_000 + " 20"), r"table bus \(line 4\), row 2 has a value that is no finite number"),
        (("60 20", "NaN 20"), r"table bus \(line 4\), row 2 has a value that is no finite number"),
        (("mpc.bus = [", "mpc.bus = [" + "\n" * 100_000 + "mpc.bus = [" * 100_000), "line 100004: .*'mpc.bus'"),
        (("mpc.bus = [", "mpc.bus" + " " * 100_000 + "(1) = ["), "line 4: .*which is not there yet"),
        (("  2 1 60", "  2 5 60"), r"table bus \(line 4\), row 2 has a type of bus other than 1, 2, 3 and 4"),
        (("  1 2 0.01", "  1 3 0.01"), r"table branch \(line 11\), row 1 names a bus that is not in the table bus"),
        (("2 0 0 3 0 20 0", "2 0 0 4 0 20 0"), r"table gencost \(line 14\), row 1 says 4 terms, and holds others"),
        (("2 0 0 3 0 20 0", "2 0 0 3 -1 20 0"), "row 1 falls with output .* not convex"),
        (("2 0 0 3 0 20 0", "1 0 0 3 0 0 100 900 300 1200"), "row 1 is piecewise linear and not convex"),
        (("2 0 0 3 0 20 0", "1 0 0 2 50 0 50 900"), "row 1 needs two points or more with rising power"),
        (("2 0 0 3 0 20 0", "2 0 0 4 1 0 20 0"), "row 1 is above the second degree"),
        (("2 0 0 3 0 20 0", "2 0 0 3 0 20 0;\n2 0 0 3 0 20 0;\n2 0 0 3 0 20 0"), "1 generators and 3 rows of cost"),
        (("1 -360 360", "1 30 20"), r"table branch \(line 11\), row 1 has angle limits that contradict"),
        (("0.01 0.1 0 140 0 0 0 0", "0.01 0 0 140 0 0 0 5"), "row 1 has no reactance, so that its ends have one angle"),
        (
            ("mpc.gencost", DC_LINE.format(30, 20)),
            r"table dcline \(line 14\), row 1 is scheduled for a power \(PF\) outside",
        ),
        (
            ("mpc.gencost", DC_LINE.format(10, 20).replace(" 1 2 1", " 1 7 1")),
            r"table dcline \(line 14\), row 1 names a bus that is not in the table bus",
        ),
        (
            ("mpc.gencost", DC_LINE.format(10, 20).replace(" 1 2 1", " 7 2 1")),
            r"table dcline \(line 14\), row 1 names a bus that is not in the table bus",
        ),
    ],
)
def test_a_case_that_cannot_be_used_is_told(change: tuple[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"^network {tmp_path}/case\.m.*{words}") as caught:
        load(tmp_path, CASE.replace(*change))
    assert len(str(caught.value)) < 400


def test_loads_in_kw_that_a_last_line_divides_are_divided(tmp_path: Path) -> None:
    """They were taken for MW: 1,590 MW shed of 1.6."""
    found = load(tmp_path, CASE + "mpc.bus(:, [3 4]) = mpc.bus(:, [3 4]) / 1e3;\n")
    assert found.bus[1, 2:4].tolist() == [0.06, 0.02]


def test_impedances_in_ohm_are_converted_as_published_cases_do(tmp_path: Path) -> None:
    convert = """
[PQ, PV, REF, NONE, BUS_I, BUS_TYPE, PD, QD, GS, BS, BUS_AREA, VM, ...
    VA, BASE_KV, ZONE, VMAX, VMIN, LAM_P, LAM_Q, MU_VMAX, MU_VMIN] = idx_bus;
[F_BUS, T_BUS, BR_R, BR_X] = idx_brch;
Vbase = mpc.bus(1, BASE_KV) * 1e3;      %% in Volts
Sbase = mpc.baseMVA * 1e6;              %% in VA
mpc.branch(:, [BR_R BR_X]) = mpc.branch(:, [BR_R BR_X]) / (Vbase^2 / Sbase);
"""
    found = load(tmp_path, CASE + convert)
    assert found.branch[0, 2:4] == pytest.approx(np.array([0.01, 0.1]) / (230e3**2 / 100e6))


def test_of_a_table_that_is_given_twice_the_last_counts(tmp_path: Path) -> None:
    again = "mpc.gen = [\n  1 0 0 300 -300 1 100 1 120 0;\n];\n"
    assert load(tmp_path, CASE + again).gen[0, 8] == 120.0


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("mpc.bus(:, PD) = 0;", "uses 'PD'"),
        ("mpc = scale_load(2, mpc);", "gives mpc as a whole"),
        ("if fixed", "is no statement of a case"),
        ("mpc.softlims.RATE_A.hl_mod = 'none';", "is no field of a case"),
        ("mpc.if.map = [1 2];", "is no field of a case"),
    ],
)
def test_a_statement_that_is_not_understood_is_refused_with_file_and_line(
    statement: str, words: str, tmp_path: Path
) -> None:
    at = CASE.count("\n") + 1
    with pytest.raises(InputError, match=rf"^network {tmp_path}/case\.m, line {at}: .*{words}"):
        load(tmp_path, CASE + statement + "\n")


def test_what_stands_in_a_comment_of_several_lines_is_no_data(tmp_path: Path) -> None:
    plain = load(tmp_path, CASE)
    row = CASE[CASE.index("mpc.bus = [\n") :].split("\n")[1]
    commented = CASE.replace("mpc.bus = [\n", f"%{{\nmpc.bus = [ 9 9 9 ];\n%}}\nmpc.bus = [\n%{{\n{row}\n%}}\n", 1)
    assert np.array_equal(load(tmp_path, commented).bus, plain.bus)


@pytest.mark.parametrize("name", ["case.xlsx", "case.mat", "case", "ieee25"])
def test_other_formats_are_refused_by_their_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04zz")
    with pytest.raises(InputError, match="give a MATPOWER-style case as a text file"):
        load_network_case(str(tmp_path / name))


def test_buses_of_large_numbers_keep_their_names(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        CASE.replace("  1 3 0", "  1000001 3 0")
        .replace("  1 0 0 300", "  1000001 0 0 300")
        .replace("  1 2 0.01", "  1000001 2 0.01"),
    )
    assert found.bus_names == ("1000001", "2")
