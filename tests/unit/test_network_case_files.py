"""Files of transmission networks: read as another reader reads them, and refused with the table and the row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matpowercaseframes import CaseFrames

from g2g_opt.errors import InputError
from g2g_opt.transmission.network_case import BUNDLED_CASE, case_path, load_network_case

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


def load(folder: Path, text: str) -> object:
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
    assert found.bus[:, 0].tolist() == [1.0, 2.0]  # type: ignore[attr-defined]
    assert found.bus[1, 2:4].tolist() == [60.0, 20.0]  # type: ignore[attr-defined]
    assert found.gencost.tolist() == [[0.0, 20.0, 0.0]]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((CASE, ""), "lacks bus, gen, branch, gencost, baseMVA"),
        (("mpc.baseMVA = 100;", ""), "lacks baseMVA"),
        (("= 100;", "= 'x';"), "baseMVA: \"''\" is no number"),
        (("= 100;", "= 1e999;"), "baseMVA: '1e999' is no finite number"),
        (("  1 0 0 300 -300 1 100 1 300 0;\n", ""), "lacks gen"),
        (("mpc.branch = [", "mpc.gen = [1];\nmpc.branch = ["), "gen is there twice"),
        (("60 20 0 0", "60 x 0 0"), "table bus, row 2: 'x' is no number"),
        (("60 20 0 0", "60 20 0"), "table bus, row 2 has 12 columns; it needs 13 like the first"),
        (("-300 1 100 1 300 0", "-300 1 100"), "table gen, row 1 has 7 columns; it needs 10 or more"),
        (("60 20", "9" * 200_000 + " 20"), r"table bus, row 2: '9.*' \(200002 characters\) is no finite number"),
        (("60 20", "NaN 20"), "table bus, row 2: 'NaN' is no finite number"),
        (("mpc.bus = [", "mpc.bus = [" + "\n" * 100_000 + "mpc.bus = [" * 100_000), "table bus, row 1"),
        (("mpc.bus = [", "mpc.bus" + " " * 100_000 + "(1) = ["), "lacks bus"),
    ],
)
def test_a_case_that_cannot_be_used_is_told(change: tuple[str, str], words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"^network {tmp_path}/case\.m.*{words}") as caught:
        load(tmp_path, CASE.replace(*change))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("mpc.bus(:, [3 4]) = mpc.bus(:, [3 4]) / 1e3;", 0),
        ("mpc.branch(:, 6) = 0.6 * mpc.branch(:, 6);", 0),
        ("[PQ, PV, REF] = idx_bus;", 0),
        ("mpc.dcline = [\n  1 2 1 10 10 0 0 1 1 0 20 -9 9 -9 9 0 0;\n];", 0),
        ("define_constants", 0),
        ("%{\n a remark\n%}\n\nmpc.bus(1, 3) = 5;", 4),
        ("x = 3; mpc.gen(1, 9) = x;", 0),
    ],
)
def test_a_statement_is_refused_with_its_line_and_never_skipped(statement: str, line: int, tmp_path: Path) -> None:
    """Loads in kW that a last line divides by 1,000 were taken for MW: 1,590 MW shed of 1.6."""
    at = CASE.count("\n") + 1 + line
    text = rf"^network {tmp_path}/case\.m, line {at}: .* would have to be carried out or modelled"
    with pytest.raises(InputError, match=text):
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
    assert found.bus_names == ("1000001", "2")  # type: ignore[attr-defined]
