"""Statements of case files, carried out: the arithmetic by which published cases convert units, and what is refused."""

from __future__ import annotations

import re
import time

import numpy as np
import pypower.idx_brch
import pypower.idx_bus
import pypower.idx_gen
import pytest

from g2g_opt.errors import InputError
from g2g_opt.transmission.case_columns import COLUMNS
from g2g_opt.transmission.case_statements import carry_out
from g2g_opt.transmission.case_tables import FIELDS


def left(text: str) -> dict[str, object]:
    return dict(carry_out(text, "case.m", FIELDS).values)


def table(statements: str) -> list[list[float]]:
    """The table bus after some statements that follow a table of three rows and four columns."""
    text = f"function mpc = c\nmpc.baseMVA = 10;\nmpc.bus = [1 2 30 4; 5 6 70 8; 9 10 110 12];\n{statements}\n"
    found = left(text)["bus"]
    assert isinstance(found, np.ndarray)
    return found.tolist()  # type: ignore[no-any-return]


COLUMN_3 = [row[2] for row in [[1, 2, 30, 4], [5, 6, 70, 8], [9, 10, 110, 12]]]


@pytest.mark.parametrize(
    ("statement", "column"),
    [
        ("mpc.bus(:, 3) = mpc.bus(:, 3) / 1e3;", [0.03, 0.07, 0.11]),
        ("mpc.bus(:,3)=mpc.bus(:,3)*2", [60, 140, 220]),
        ("mpc.bus(:, 3) = 2 * mpc.bus(:, 3) - 1", [59, 139, 219]),
        ("mpc.bus(:, 3) = mpc.bus(:, 3) .* [1; 2; 3];", [30, 140, 330]),
        ("mpc.bus(:, 3) = mpc.bus(:, 3) ./ mpc.bus(:, 1);", [30, 14, 110 / 9]),
        ("mpc.bus(:, 3) = mpc.bus(:, 3).^2;", [900, 4900, 12100]),
        ("mpc.bus(2, 3) = 5;", [30, 5, 110]),
        ("mpc.bus([1 3], 3) = [5; 6];", [5, 70, 6]),
        ("mpc.bus(1:2, 3) = 0;", [0, 0, 110]),
        ("mpc.bus(1:2:end, 3) = 0;", [0, 70, 0]),
        ("mpc.bus(end, 3) = 0;", [30, 70, 0]),
        ("mpc.bus(end-1, 3) = 0;", [30, 0, 110]),
        ("mpc.bus(mpc.bus(:, 3) > 50, 3) = 50;", [30, 50, 50]),
        ("k = find(mpc.bus(:, 3) > 50); mpc.bus(k, 3) = 50;", [30, 50, 50]),
        ("k = mpc.bus(:, 3) > 50 & mpc.bus(:, 1) < 6;\nmpc.bus(k, 3) = 50;", [30, 50, 110]),
        ("mpc.bus(~(mpc.bus(:, 3) > 50), 3) = 1;", [1, 70, 110]),
        ("V = mpc.bus(1, 2) * 1e3; S = mpc.baseMVA * 1e6;\nmpc.bus(:, 3) = mpc.bus(:, 3) / (V^2 / S);", [75, 175, 275]),
        ("pf = 0.6; mpc.bus(:, 3) = mpc.bus(:, 3) * sin(acos(pf));", [24, 56, 88]),
        ("mpc.bus(:, 3) = -mpc.bus(:, 3)';", [-30, -70, -110]),
        ("mpc.bus(:, 3) = sum(mpc.bus(:, [1 2]), 2);", [3, 11, 19]),
        ("mpc.bus(:, 3) = mpc.bus(:, 3) / sum(mpc.bus(:, 3));", [30 / 210, 70 / 210, 110 / 210]),
        ("mpc.bus(:, 3) = max(mpc.bus(:, 3), 50);", [50, 70, 110]),
        ("mpc.bus(:, 3) = mpc.bus(:, [1 3]) * [1; 1];", [31, 75, 119]),
        ("mpc.bus(:, 3) = [1 -2 3];", [1, -2, 3]),
        ("mpc.bus(:, 3) = [1 - 2, 3, 4];", [-1, 3, 4]),
        ("mpc.bus(:, 3) = [mpc.bus(1, 3)' (2) -3];", [30, 2, -3]),
        ("mpc.bus(:, 3) = [1, ... a note\n 2, 3];", [1, 2, 3]),
        ("mpc.bus(:, 3) = 2^-1 * [1;2;4];", [0.5, 1, 2]),
        ("mpc.bus(:, 3) = -2^2;", [-4, -4, -4]),
        ("mpc.bus(:, 3) = 1.*[1;2;3] + .5e1;", [6, 7, 8]),
        (
            "[PQ, PV, REF, NONE, BUS_I, BUS_TYPE, PD] = idx_bus;\nmpc.bus(:, [PD]) = mpc.bus(:, PD)/1e3;",
            [0.03, 0.07, 0.11],
        ),
        ("[~, ~, ~, ~, ~, ~, PD, ...\n QD] = idx_bus;\nmpc.bus(:, PD) = 1;", [1, 1, 1]),
        ("define_constants;\nmpc.bus(:, PD) = 0;", [0, 0, 0]),
        ("define_constants, mpc.bus(:, PD) = 0, mpc.bus(1, PD) = 7", [7, 0, 0]),
        ("c = idx_dcline; mpc.bus(:, c.BR_STATUS) = 8;", [8, 8, 8]),
        ("mpc.bus = [1 2 3 4];", [3]),
        ("mpc.bus(2, :) = [];", [30, 110]),
        ("mpc.bus(end+1, :) = [1 1 1 1];", [30, 70, 110, 1]),
        ("mpc.bus(:, 3) = mpc.bus(:, 3)(1);", None),
        ("%{\nmpc.bus(:, 3) = 0;\n%}\nmpc.bus_name = {'mpc.bus = [1]; % no'; 'b'};", [30, 70, 110]),
        ("mpc.bus(:, 3) = 0; % mpc.bus(1, 3) = 9;", [0, 0, 0]),
        ("return\nmpc.bus(:, 3) = 0;", [30, 70, 110]),
        ("end\nfunction other\nmpc.bus(:, 3) = 0;", [30, 70, 110]),
        ("mpc.bus(:, 3) = 1d2;", [100, 100, 100]),
    ],
)
def test_arithmetic_is_that_of_the_language(statement: str, column: list[float] | None) -> None:
    if column is None:
        with pytest.raises(InputError, match=r"^case\.m, line 4: .* is not understood"):
            table(statement)
        return
    assert [row[2] for row in table(statement)] == pytest.approx(column)


@pytest.mark.parametrize("name", ["s", "mpc", "mycase"])
def test_the_struct_may_have_any_name(name: str) -> None:
    found = left(f"function {name} = c()\n{name}.bus = [1 2];\n{name}.bus(1, 2) = 5;\n")
    assert np.array_equal(found["bus"], [[1.0, 5.0]])  # type: ignore[arg-type]


def test_columns_are_those_of_the_format() -> None:
    """PYPOWER counts columns from 0, the types of buses as they are."""
    for function, module in (
        ("idx_bus", pypower.idx_bus),
        ("idx_brch", pypower.idx_brch),
        ("idx_gen", pypower.idx_gen),
    ):
        for name, number in COLUMNS[function]:
            assert number == getattr(module, name) + (name not in ("PQ", "PV", "REF", "NONE")), name


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("if mpc.baseMVA > 1", "is no statement of a case"),
        ("for k = 1:3", "is no statement of a case"),
        ("mpc = loadcase('other');", "gives mpc as a whole"),
        ("mpc = scale_load(2, mpc);", "gives mpc as a whole"),
        ("x = other(3);", "uses 'other', which is not known here"),
        ("mpc.bus(:, PD) = 1;", "uses 'PD', which is not known here"),
        ("mpc.gen(1, 9) = 3;", "changes mpc.gen, which is not there yet"),
        ("mpc.brnch = [1 2 3];", "gives brnch, which is no field"),
        ("mpc.reserves = 3;", "asks for reserves, which are not modelled"),
        ("mpc.A = [1 2 3];", "of its own to the dispatch"),
        ("mpc.dclinecost = [2 0 0 2 0 0];", "prices what DC lines carry"),
        ("mpc.bus(0, 3) = 1;", "no whole number from 1 on"),
        ("mpc.bus(1.5, 3) = 1;", "no whole number from 1 on"),
        ("x = mpc.bus(4, 3);", "asks for entry 4 where there are 3"),
        ("mpc.bus(:, 3) = [1; 2];", "puts a table of 2 x 1 where 3 x 1 entries are"),
        ("mpc.bus(:, 3) = mpc.bus(:, 3) + [1; 2];", "combines tables of 3 x 1 and 2 x 1"),
        ("mpc.bus(:, 3) = mpc.bus / mpc.bus;", "divides by a matrix"),
        ("mpc.bus(:, 3) = sqrt(-1);", "no real number"),
        ("mpc.bus(:, 3) = 'a';", "calculates with the text"),
        ("mpc.bus(:, 3) = 1 + ;", "ends where a value is expected"),
        ("mpc.bus(:, 3) = 3i;", "'3i', which is no number"),
        ("mpc.bus(:, 3) = (1;", r"has its end where '\)' is expected"),
        ("mpc.bus(:, 3) = [1 2", "a bracket that is not closed"),
        ("mpc.bus(1, 2, 3) = 1;", "an index of more than two places"),
        ("mpc.bus(:, 3) = 1 2;", "is not understood from '2' on"),
        ("mpc.bus(:, 3) += 1;", "is no statement of a case"),
        ("x = zeros(1e5, 1e5);", "more than 20,000,000 entries"),
        ("x = 1:1e12;", "more than 20,000,000 entries"),
        ("x = zeros(1e4, 1) + zeros(1, 1e4);", "more than 20,000,000 entries"),
        ("x = " + "(" * 2000 + "1;", "brackets in brackets"),
        ("x = " + "-" * 2000 + "1;", "signs in a row"),
        ("x = " + "[" * 2000 + "1;", "brackets in brackets"),
        ("[a, b] = other;", "hands out no such names here"),
        ("mpc.bus(:, 3) = 1 && 2;", "uses '&&', which is not known here"),
        ("eval('x = 1');", "is no statement of a case"),
        ("!rm -rf x", "is no statement of a case"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line_and_never_skipped(statement: str, words: str) -> None:
    with pytest.raises(InputError, match=rf"^case\.m, line 4: .*({words})") as caught:
        table(statement)
    assert len(str(caught.value)) < 400


def test_lines_are_counted_over_comments_and_lines_that_go_on() -> None:
    text = "function mpc = c\n%{\n a\n%}\nmpc.bus = [1 ...\n 2\n 3 4];\n\nx = [1, ...\n 2];\nnonsense(3)\n"
    with pytest.raises(InputError, match=re.escape("case.m, line 11: 'nonsense(3)'")):
        left(text)


def test_tables_given_one_by_one_are_refused() -> None:
    with pytest.raises(InputError, match=r"case\.m, line 1: .*one by one"):
        left("function [baseMVA, bus, gen] = c\nbaseMVA = 1;\n")


def test_a_large_table_is_read_in_a_moment() -> None:
    row = "\t".join(f"{k}.5" for k in range(13))
    text = "mpc.bus = [\n" + f"\t{row};\n" * 20_000 + "];\nmpc.bus(:, 3) = mpc.bus(:, 3) / 2;\n"
    began_s = time.process_time()
    found = left(text)["bus"]
    assert isinstance(found, np.ndarray)
    assert found.shape == (20_000, 13)
    assert found[-1, 2] == 1.25
    assert time.process_time() - began_s < 5.0
