"""CSV files, read and written: the one door for tables that come from a stranger and for those that leave us."""

from __future__ import annotations

import csv
import difflib
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from g2g_opt.errors import InputError, unknown_name
from g2g_opt.reading import NUMBER_MAX, TABLE_BYTES_MAX, finite_number, read_text

# What may separate cells in place of commas.
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
# Likeness (0 to 1) from which on a column's name is taken for a slip, not for a name of its own.
_NEARLY = 0.75
# Letters of a column's name that are told.
_NAME_LETTERS = 40
# Columns that are compared with one that is missing: a table may have tens of thousands.
_LOOKED_AT = 200
# Units at the ends of columns' names; one in the place of another is no slip of the pen.
_UNITS = {"w", "kw", "mw", "gw", "wh", "kwh", "mwh", "gwh", "s", "ms", "min", "h", "usd", "percent", "pct", "pu"}
# What a spreadsheet takes for a formula when a cell begins with it; also in the full-width forms that some read.
_COMPUTED = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@dataclass(slots=True)
class CsvRow:
    """A row of the table `name`: its line in the file, and its texts at the `places` of the header's names."""

    name: str
    line: int
    places: Mapping[str, int]
    texts: list[str]

    @property
    def cells(self) -> dict[str, str]:
        """Texts by the names of the header."""
        return {name: self.texts[place] for name, place in self.places.items()}

    @property
    def where(self) -> str:
        """File and line, as errors name them."""
        return f"{self.name}, line {self.line}"

    def __getitem__(self, column: str) -> str:
        """The text of a cell."""
        return self.texts[self.places[column]]

    def number(self, column: str, least: float = -NUMBER_MAX, most: float = NUMBER_MAX, beyond: str = "") -> float:
        """The number in a cell; `InputError` that names file, line and column if it is none from `least` to `most`.

        `beyond` says what one above `most` may be.
        """
        text = self[column]
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        # The same as `finite_number`, whose words are only made for what it refuses: traces have millions of cells.
        if least <= value <= most and "_" not in text and text.isascii():
            return value
        try:
            return finite_number(text, f"{self.where}, {column}", least, most)
        except InputError as error:
            if beyond and value > most:
                raise InputError(f"{error}; {beyond}") from error
            raise


@dataclass(frozen=True)
class CsvTable:
    """Header and rows of a CSV file."""

    name: str
    columns: tuple[str, ...]
    rows: list[CsvRow]

    def left_aside(self, known: Sequence[str], optional: Sequence[str] = ()) -> list[str]:
        """Columns that are none of the `known` ones, as they are told.

        Raises `InputError` for one whose name is nearly an `optional` one's that the table does not have: what was
        written for it would be left out in silence.
        """
        aside = [name for name in self.columns if name and name not in known]
        lacking = [name for name in optional if name not in self.columns]
        for name in aside:
            if other := next((one for one in lacking if _is_of_other_unit(name, one)), ""):
                raise InputError(f"{self.name}: column {name!r} is of another unit than {other}; convert it to that")
            if len(name) <= _NAME_LETTERS and difflib.get_close_matches(name.casefold(), lacking, n=1, cutoff=_NEARLY):
                raise InputError(f"{self.name}: {unknown_name('column', name, known)}")
        return [name[:_NAME_LETTERS] for name in aside]


def read_csv(
    path: Path, what: str, columns: Sequence[str], optional: Sequence[str] = (), *, may_be_empty: bool = False
) -> CsvTable:
    """A CSV file with a header that has at least `columns`, in UTF-8; `what` it is ("profile") begins every error.

    Names of these and of `optional` columns are read in whatever case they are written, blanks around them aside. Lines
    that start with '#' are left out, and so are blank ones. Raises `InputError` with the line for whatever cannot be
    read, a column that is missing (with the name that is nearest to it) or there twice, rows with fewer or more cells
    than the header, and no rows at all (unless it `may_be_empty`).
    """
    text = read_text(path, what, TABLE_BYTES_MAX)
    return parse_csv(text, f"{what} {path}", columns, optional, may_be_empty=may_be_empty)


def parse_csv(
    text: str, where: str, columns: Sequence[str], optional: Sequence[str] = (), *, may_be_empty: bool = False
) -> CsvTable:
    """The table of a text, as `read_csv` reads it from a file; `where` names it in errors."""
    wanted = f"it needs the columns {', '.join(columns)}" if columns else "it needs a header"
    lines = csv_rows(text, where)
    header = next(lines, None)
    if header is None:
        raise InputError(f"{where} is empty; {wanted}")
    known = {name.casefold(): name for name in (*columns, *optional)}
    written = [name.strip() for name in header[1]]
    names = [known.get(name.casefold(), name) for name in written]
    if missing := [name for name in columns if name not in names]:
        why = separator_words(written) or _near_words(missing, [name for name in names if name not in known.values()])
        raise InputError(f"{where} lacks the columns {', '.join(missing)}; {wanted}, and has {_named(written)}{why}")
    if twice := {name for name in names if name and names.count(name) > 1}:
        them = sorted({word for word, name in zip(written, names, strict=True) if name in twice})
        raise InputError(f"{where} has the columns {_named(them)} twice; name each column once")
    places = {name: place for place, name in enumerate(names)}
    rows = []
    for line, cells in lines:
        # Spreadsheets may leave empty cells behind a row's end.
        if len(cells) < len(names) or any(map(str.strip, cells[len(names) :])):
            raise InputError(f"{where}, line {line}: {len(cells)} cells, and the header has {len(names)}")
        rows.append(CsvRow(where, line, places, cells))
    if not rows and not may_be_empty:
        raise InputError(f"{where} has no rows; {wanted}")
    return CsvTable(where, tuple(names), rows)


def _near_words(missing: Sequence[str], others: Sequence[str]) -> str:
    """Which of the `others` may be meant by what is missing, as the end of a sentence; empty if none is near."""
    spare = {name.casefold(): name for name in others[:_LOOKED_AT] if 0 < len(name) <= _NAME_LETTERS}
    renamed, converted = [], []
    for name in missing:
        if other := next((one for one in spare.values() if _is_of_other_unit(one, name)), ""):
            converted.append(f"{other} is of another unit than {name}: convert it to that")
        elif found := difflib.get_close_matches(name.casefold(), spare, n=1):
            renamed.append(f"{spare[found[0]]} to {name}")
    parts = [*converted, *([f"rename {', '.join(renamed)}?"] if renamed else [])]
    return f"; {'; '.join(parts)}" if parts else ""


def _is_of_other_unit(one: str, other: str) -> bool:
    """Whether two names of columns differ by the unit that they end in, and by nothing else."""
    (what, unit), (other_what, other_unit) = map(_what_and_unit, (one, other))
    return what == other_what and bool(unit) and bool(other_unit) and unit != other_unit


def _what_and_unit(name: str) -> tuple[list[str], str]:
    words = re.findall(r"[^\W_]+", name.casefold())
    return (words[:-1], words[-1]) if words and words[-1] in _UNITS else (words, "")


def separator_words(names: Sequence[str]) -> str:
    """What is amiss with a header that is one cell, as another sign than a comma separates its cells; else nothing."""
    other = next((word for sign, word in _SEPARATORS.items() if len(names) == 1 and sign in names[0]), "")
    return f": its cells are separated by {other}, and commas are read; save it with those" if other else ""


def csv_rows(text: str, where: str) -> Iterator[tuple[int, list[str]]]:
    """Line (from 1) and cells of each row of a CSV text but blank ones and comments; `InputError` if one is no CSV."""
    line = 0

    def lines() -> Iterator[str]:
        nonlocal line
        for found in io.StringIO(text, newline=""):
            line += 1
            if not found.startswith("#"):
                yield found

    reader = csv.reader(lines())
    try:
        for cells in reader:
            # Of nearly every row the first cell says it: traces have millions of them.
            if cells and (cells[0].strip() or any(map(str.strip, cells))):
                yield line, cells
    except csv.Error as error:
        raise InputError(f"{where}, line {line} is no row of a CSV file: {error}") from error


def _named(names: Sequence[str]) -> str:
    text = ", ".join(names[:20])
    return (text if len(text) <= 200 else f"{text[:200]}...") or "none"


def write_csv(file: TextIO, header: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a table to an open file; texts that a spreadsheet would compute are written as text (`as_text`)."""
    writer = csv.writer(_LineEnds(file), lineterminator="\r\n")
    writer.writerow([as_text(name) for name in header])
    writer.writerows([as_text(cell) if isinstance(cell, str) else cell for cell in row] for row in rows)


class _LineEnds:
    """Ends rows with a line feed. `csv` quotes cells that hold a letter of its own line end, and only those.

    With a line feed alone, a carriage return in a name would break its row.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, row: str) -> int:
        return self._file.write(row.removesuffix("\r\n") + "\n")


def as_text(cell: str) -> str:
    """A cell with an apostrophe before it if a spreadsheet would compute it: what begins so and is no number.

    Names of buses and models come from files that may be a stranger's, and a table is opened with a double click.
    """
    if not cell.startswith(_COMPUTED):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    # Python alone reads numbers with blanks around them, or underscores inside.
    return f"'{cell}" if "_" in cell or cell.strip() != cell else cell
