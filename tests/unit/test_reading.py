"""Whatever is wrong with a file ends in an error that names the file, the place in it, and what to do."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from g2g_opt import reading
from g2g_opt.csv_files import as_text, csv_rows, parse_csv, read_csv, write_csv
from g2g_opt.errors import InputError, shown, unknown_name
from g2g_opt.reading import (
    DEPTH_MAX,
    check_plain,
    files_below,
    finite_number,
    parse_json,
    read_bytes,
    read_json,
    read_text,
    read_toml,
)

# ---------------------------------------------------------------- what is no file


def a_folder(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # names of sockets are short
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(path.name)
    finally:
        os.chdir(here)


def a_broken_link(path: Path) -> None:
    path.symlink_to(path.with_name("gone"))


def a_circle(path: Path) -> None:
    path.symlink_to(path)


def a_link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def too_large(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(9 * 2**20)


@pytest.mark.parametrize("read", [read_bytes, read_json, read_toml, lambda path, what: read_csv(path, what, ("a",))])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "not found"),
        (a_folder, "is a folder; give a regular file"),
        (a_pipe, "is a pipe; give a regular file"),
        (a_socket, "is a socket; give a regular file"),
        (a_broken_link, "is a link to a file that is not there"),
        (a_circle, "is a link that leads back to itself"),
        (a_link_to_a_device, "is a device; give a regular file"),
    ],
)
def test_what_is_no_file_is_named(
    read: Callable[[Path, str], Any], make: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    make(path)
    with pytest.raises(InputError, match=rf"^profile {path} {words}"):
        read(path, "profile")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "a/" * 3000, "\ud800"])
def test_a_name_that_no_file_can_have_is_an_error(name: str) -> None:
    with pytest.raises(InputError, match=r"^profile .*(cannot be used|no file name|not found)") as caught:
        read_text(Path(name), "profile", 100)
    assert len(str(caught.value)) < 6500


def test_a_link_to_a_file_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a = 1\n")
    (tmp_path / "link").symlink_to("file")
    assert read_toml(tmp_path / "link", "study file") == {"a": 1}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("a")
    path.chmod(0)
    with pytest.raises(InputError, match=r"file cannot be used: permission denied"):
        read_text(path, "profile", 100)


def test_what_the_system_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    path = tmp_path / "file"
    path.write_text("a")
    monkeypatch.setattr(reading.os, "open", refuse)
    with pytest.raises(InputError, match=r"^profile .*file cannot be used: permission denied"):
        read_text(path, "profile", 100)


def test_a_file_is_read_up_to_its_size_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(9 * 2**20)
    with pytest.raises(InputError, match=r"^policy .*file is larger than 8 MiB"):
        read_json(path, "policy")
    with pytest.raises(InputError, match=r"^study file .*file is larger than 1 MiB"):
        read_toml(path, "study file")
    # The system says that such a file is empty.
    with pytest.raises(InputError, match="is larger than 0 MiB"):
        read_bytes(Path("/proc/cpuinfo"), "profile", 10)


# ---------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a = 1".encode("utf-16"), "is in UTF-16 or UTF-32"),
        ("a = 1".encode("utf-16-be"), "line 1 holds a NUL byte"),
        (b"a = 1\nb = '\xe9'\n", "line 2 holds the byte 0xE9"),
        (b"\xef\xbb\xbfa = 1\nb = '\xe9'\n", "line 2 holds the byte 0xE9"),
        (b"a = 1\n\nb = '\0'\n", "line 3 holds a NUL byte"),
        (bytes(range(256)), "line 1 holds a NUL byte"),
    ],
)
def test_another_encoding_is_named_with_its_line(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    for read in (read_toml, read_json, lambda path, what: read_csv(path, what, ("a",))):
        with pytest.raises(InputError, match=rf"^it {path}.*{words}.*save it as UTF-8"):
            read(path, "it")


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("a = 1\n", encoding="utf-8-sig")
    assert read_toml(path, "it") == {"a": 1}
    path.write_text('{"a": 1}', encoding="utf-8-sig")
    assert read_json(path, "it") == {"a": 1}
    path.write_text("a,b\n1,2\n", encoding="utf-8-sig")
    assert read_csv(path, "it", ("a",)).rows[0].cells == {"a": "1", "b": "2"}


# ---------------------------------------------------------------- JSON and TOML


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[" * 100 + "]" * 100, "nested too deeply"),
        ('{"a":' * 200 + "1" + "}" * 200, "a.a.a is nested too deeply"),
        ("NaN", "it is nan, which is no finite number"),
        ('{"a": [1, -Infinity]}', r"a\.1 is -inf, which is no finite"),
        ("9" * 5000, "is no JSON"),
        ('{"a": 1e999}', "a is inf, which is no finite"),
        ('{"a": [1, ' + "9" * 400 + "]}", r"a\.1 is an integer beyond 64 bits"),
        (r'{"a": {"b": "x\u0000y"}}', r"a\.b holds a NUL"),
        (r'{"a": {"b\u0000": 1}}', "holds a NUL"),
    ],
)
def test_json_that_cannot_be_used_is_told(text: str, words: str) -> None:
    with pytest.raises(InputError, match=rf"^the policy.*{words}"):
        parse_json(text, "the policy")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = ", "is not TOML"),
        ("a = " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        ("a = " + "{a = " * 2000 + "1" + "}" * 2000, "nested too deeply"),
        ("a = " + "[" * 100 + "]" * 100, "nested too deeply"),
        (".".join(["a"] * 100_000) + " = 1", "line 1: a key of more than"),
        ("\n[" + " . ".join(['"a b"'] * 300) + "]", "line 2: a key of more than"),
        ("a = " + "9" * 5000, "is not TOML"),
        ("a = " + "9" * 400, "a is an integer beyond 64 bits"),
        ("a = 2024-02-30", "is not TOML"),
        (r'a = "x\u0000y"', "a holds a NUL"),
        ("a = 1\na = 2", "is not TOML"),
    ],
)
def test_toml_that_cannot_be_used_is_told(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"^study file {path}.*{words}"):
        read_toml(path, "study file")


def test_what_a_study_may_hold_is_read(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_text('a.b.c = [[1, 2.5], ["x.y.z", -9223372036854775807]]\n[d."e f"]\ng = "' + "h." * 500 + '"\n')
    found = read_toml(path, "study file")
    assert found["a"] == {"b": {"c": [[1, 2.5], ["x.y.z", -(2**63) + 1]]}}
    assert found["d"] == {"e f": {"g": "h." * 500}}


def test_the_deepest_nesting_that_is_read_is_what_the_error_says() -> None:
    def nested(depth: int) -> list[Any]:
        value: list[Any] = []
        for _ in range(depth - 1):
            value = [value]
        return value

    check_plain(nested(DEPTH_MAX), "it")
    assert parse_json(json.dumps(nested(DEPTH_MAX)), "it") == nested(DEPTH_MAX)
    with pytest.raises(InputError, match=f"{DEPTH_MAX} levels"):
        check_plain(nested(DEPTH_MAX + 1), "it")


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "1_000",
        "1,5",
        "0x10",
        "nan",
        "inf",
        "-inf",
        "1e999",
        "9" * 200_000,
        "2e15",
        True,
        None,
        [1],
        10**400,
        "\u0661\u0662",
    ],
)
def test_what_is_no_number_is_refused_and_shown_in_short(value: object) -> None:
    with pytest.raises(InputError, match=r"^trace, line 3: ") as caught:
        finite_number(value, "trace, line 3")
    assert len(str(caught.value)) < 200


def test_numbers_are_read_as_they_are_written() -> None:
    assert [finite_number(x, "it") for x in (" 1.5 ", "-1e-3", 7, 2.5, "+4")] == [1.5, -0.001, 7.0, 2.5, 4.0]
    with pytest.raises(InputError, match="it: '-1' must be from 0 to 100"):
        finite_number("-1", "it", 0.0, 100.0)
    with pytest.raises(InputError, match="it: '-1' must be 0 or more"):
        finite_number("-1", "it", 0.0)


# ---------------------------------------------------------------- tables


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty; it needs the columns a, b"),
        ("# only a comment\n\n", "is empty"),
        ("a,b\n", "has no rows"),
        (
            "a;b\n1;2\n",
            "lacks the columns a, b; .* has a;b: its cells are separated by semicolons, and commas are read; save it",
        ),
        ("a\tb\n1\t2\n", "lacks the columns a, b; .*: its cells are separated by tabs, and commas"),
        ("a,b,a\n1,2,3\n", "has the columns a twice"),
        ("a,b\n1,2\n\n# c\n3\n", "line 5: 1 cells, and the header has 2"),
        ("a,b\n1,2,3\n", "line 2: 3 cells, and the header has 2"),
        ("a,b\n1," + "2" * 200_000 + "\n", "line 2 is no row of a CSV file: field larger"),
        ("x" * 200_000 + "\n", "line 1 is no row of a CSV file: field larger"),
        ('a,b\n1,"2\n' + "3,4\n" * 60_000, "is no row of a CSV file: field larger"),
        (",".join(f"column{k}" for k in range(30_000)) + "\n", "lacks the columns a, b"),
    ],
)
def test_a_table_that_cannot_be_used_is_told(text: str, words: str) -> None:
    with pytest.raises(InputError, match=rf"^table t.csv.*{words}") as caught:
        parse_csv(text, "table t.csv", ("a", "b"))
    assert len(str(caught.value)) < 400


def test_rows_know_their_lines_in_the_file() -> None:
    table = parse_csv('# c\r\na , b\r\n1,2,, \r\n\r\n#\r\n"x\r\ny",3\r\n', "t", ("a", "b"))
    assert table.columns == ("a", "b")
    assert [(row.line, row["a"], row["b"]) for row in table.rows] == [(3, "1", "2"), (7, "x\r\ny", "3")]
    assert table.rows[0].number("b") == 2.0
    with pytest.raises(InputError, match=r"^t, line 7, a: .* is no number"):
        table.rows[1].number("a")


def test_names_of_columns_are_read_in_any_case_where_that_is_plain() -> None:
    table = parse_csv(
        "Bus , MW,Date,Note,LOAD_shape\n671,1.5,2025-01-01,x,fleet\n", "t", ("bus", "mw"), ("load_shape",)
    )
    assert table.columns == ("bus", "mw", "Date", "Note", "load_shape")
    assert (table.rows[0]["bus"], table.rows[0].number("mw"), table.rows[0]["load_shape"]) == ("671", 1.5, "fleet")
    assert table.left_aside(("bus", "mw", "load_shape"), ("load_shape",)) == ["Date", "Note"]
    with pytest.raises(InputError, match=r"^t has the columns BUS, bus twice"):
        parse_csv("bus,BUS,mw\n1,2,3\n", "t", ("bus", "mw"))
    with pytest.raises(
        InputError, match=r"lacks the columns bus, mw; .* has Buss, Mws, x; rename Buss to bus, Mws to mw"
    ):
        parse_csv("Buss,Mws,x\n1,2,3\n", "t", ("bus", "mw"))
    with pytest.raises(InputError, match=r"lacks .* mw; .* has bus, kW; kW is of another unit than mw: convert it"):
        parse_csv("bus,kW\n1,2\n", "t", ("bus", "mw"))
    with pytest.raises(InputError, match=r"lacks .* power_W; .*; power_kW is of another unit than power_W: convert"):
        parse_csv("t_s,power_kW\n1,2\n", "t", ("t_s", "power_W"))
    with pytest.raises(InputError, match=r"column 'load_shapes' not found; did you mean load_shape"):
        parse_csv("bus,load_shapes\n1,2\n", "t", ("bus",)).left_aside(("bus", "load_shape"), ("load_shape",))


@pytest.mark.parametrize(
    ("cell", "hint"), [("0,5", "0.5"), (" -1,25 ", "-1.25"), ("1.234,5", ""), ("a,b", ""), ("", "")]
)
def test_a_number_with_a_decimal_comma_is_told_as_such(cell: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        finite_number(cell, "t")
    assert str(caught.value) == f"t: {cell!r} is no number" + (f"; decimals have a point, as in {hint}" if hint else "")


def test_rows_without_a_header_are_read_too() -> None:
    assert list(csv_rows("1,2\n\n3\n", "t")) == [(1, ["1", "2"]), (3, ["3"])]
    # Spreadsheets and editors leave blanks behind the last row.
    assert list(csv_rows("1,2\n , \n,,\n   \n,3\n\t\n", "t")) == [(1, ["1", "2"]), (5, ["", "3"])]


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "-", "=", "+a", "- 1 ", "-1_0"],
)
def test_what_a_spreadsheet_would_compute_is_written_as_text(cell: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        write_csv(file, ("bus", cell), [(cell, 1.5)])
    (row,) = read_csv(path, "t", ()).rows
    assert row["bus"] == "'" + cell
    assert [name for name in row.cells if name.startswith("'")] == ["'" + cell.rstrip()]


@pytest.mark.parametrize("cell", ["671", "-1.5", "+3", "1e-5", "-inf", "bus=1", "a-b", "'=1", " =1", "", "[-1, 2]"])
def test_numbers_and_plain_words_are_left_as_they_are(cell: str) -> None:
    assert as_text(cell) == cell


# ---------------------------------------------------------------- folders and words


def test_files_of_a_folder_are_found_below_it_too(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c").write_text("")
    (tmp_path / "a").write_text("")
    (tmp_path / "b" / "round").symlink_to(tmp_path)
    found = files_below(tmp_path, "folder")
    assert found == [tmp_path / "a", tmp_path / "b" / "c"]


def test_a_folder_that_is_none_or_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("")
    for path, words in ((tmp_path / "no", "not found"), (tmp_path / "a", "is no folder"), (Path("a\0"), "no folder")):
        with pytest.raises(InputError, match=rf"^market folder .*{words}"):
            files_below(path, "market folder")
    (tmp_path / "b").write_text("")
    monkeypatch.setattr(reading, "FOLDER_ENTRIES_MAX", 1)
    with pytest.raises(InputError, match="holds more than 1 files"):
        files_below(tmp_path, "market folder")


def test_a_long_name_is_shown_in_short() -> None:
    assert len(str(unknown_name("study", "x" * 1_000_000, ["hosting-capacity"]))) < 300
    assert shown("a\x1b[31mb") == r"'a\x1b[31mb'"
    assert shown(10**5000) == "a number beyond 64 bits"
