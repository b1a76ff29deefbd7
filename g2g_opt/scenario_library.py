"""`ScenarioLibrary`: screened scenarios of a study case, kept as a table that says when it was changed."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import TypeAdapter, ValidationError

from g2g_opt.csv_files import CsvRow, parse_csv, write_csv
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.reading import TABLE_BYTES_MAX, check_plain, parse_json, read_text
from g2g_opt.scenario import Scenario

# A validation split chooses among what was trained, so that the scenarios to test with choose nothing.
Split = Literal["train", "test", "validation"]
Mix = Literal["under", "over", "both"]

WORDS_OF_SPLIT: dict[Split, str] = {"train": "to train on", "test": "to test with", "validation": "to choose by"}

_COLUMNS = ("name", "split", "seed", "none_under_pu_s", "none_over_pu_s", "ofo_pu_s", "scenario")
_HASH = "# sha256 "
# In a tuple, because a type that has a configuration of its own takes none from an adapter.
_SCENARIO = TypeAdapter(tuple[Scenario])


@dataclass(frozen=True)
class LibraryScenario:
    """A screened scenario: its integral violations (3.1, pu s) below and above the band without coordination, and
    under OFO.
    """

    scenario: Scenario
    split: Split
    none_under_pu_s: float
    none_over_pu_s: float
    ofo_pu_s: float

    @property
    def none_pu_s(self) -> float:
        """Integral violation without coordination (pu s)."""
        return self.none_under_pu_s + self.none_over_pu_s

    @property
    def mix(self) -> Mix:
        """On which side of the band voltages are without coordination."""
        if self.none_under_pu_s > 0.0:
            return "both" if self.none_over_pu_s > 0.0 else "under"
        return "over"


@dataclass(frozen=True)
class ScenarioLibrary:
    """Screened scenarios of a study case. Those to train on, to choose by (validation) and to test with have seeds of
    their own.
    """

    case: str
    scenarios: tuple[LibraryScenario, ...]

    def of_split(self, split: Split) -> tuple[LibraryScenario, ...]:
        """Those to train on, those to choose by, or those to test with."""
        return tuple(entry for entry in self.scenarios if entry.split == split)

    @property
    def digest(self) -> str:
        """SHA-256 of the table, 64 hexadecimal digits: another case or scenario is another digest."""
        return _digest(self._table())

    def to_csv(self) -> str:
        """The table with its digest in the first line, which spreadsheets and `load` read."""
        return f"{_HASH}{self.digest} of the lines below\n{self._table()}"

    def _table(self) -> str:
        text = io.StringIO()
        text.write(f"# scenario library of the study case {self.case}\n")
        rows = (
            (
                entry.scenario.name,
                entry.split,
                entry.scenario.seed,
                *(repr(x) for x in (entry.none_under_pu_s, entry.none_over_pu_s, entry.ofo_pu_s)),
                scenario_json(entry.scenario),
            )
            for entry in self.scenarios
        )
        write_csv(text, _COLUMNS, rows)
        return text.getvalue()

    @staticmethod
    def load(path: Path) -> ScenarioLibrary:
        """The library in a file of `to_csv`; `InputError` for what is none, is empty, or was changed."""
        where = f"scenario library {path}"
        text = read_text(path, "scenario library", TABLE_BYTES_MAX)
        head, _, table = text.partition("\n")
        about = table.partition("\n")[0]
        if not head.startswith(_HASH) or not about.startswith("# scenario library of the study case "):
            raise InputError(f"{where} is none: it does not begin with its digest and case; `g2g scenarios` writes one")
        rows = parse_csv(table, where, _COLUMNS, may_be_empty=True).rows
        if not rows:
            raise InputError(f"{where} holds no scenario; screen more candidates, or by weaker rules (g2g scenarios)")
        if _digest(table) != head.removeprefix(_HASH).split(" ")[0]:
            raise InputError(f"{where} was changed since it was written: its digest is another; make it again")
        return ScenarioLibrary(about.rpartition(" ")[2].strip(), tuple(_read(row) for row in rows))


def _digest(table: str) -> str:
    return hashlib.sha256(table.encode()).hexdigest()


def scenario_json(scenario: Scenario) -> str:
    """A scenario as JSON."""
    return _SCENARIO.dump_json((scenario,))[1:-1].decode()


def parse_scenario(text: str, where: str) -> Scenario:
    """The scenario of `scenario_json`; `InputError` for anything else."""
    check_plain(parse_json(f"[{text}]", where), where)
    try:
        return _SCENARIO.validate_json(f"[{text}]")[0]
    except ValidationError as error:
        raise InputError(
            f"{where} holds no scenario: {json.dumps(error.errors(include_url=False)[0]['msg'])}"
        ) from error


def _read(row: CsvRow) -> LibraryScenario:
    scenario = parse_scenario(row["scenario"], row.where)
    if row["split"] not in get_args(Split):
        raise unknown_name("split", row["split"], get_args(Split), f"in {row.where}")
    under, over, ofo = (row.number(name, 0.0) for name in ("none_under_pu_s", "none_over_pu_s", "ofo_pu_s"))
    return LibraryScenario(scenario, row["split"], under, over, ofo)  # type: ignore[arg-type]


def chosen_scenarios(library: ScenarioLibrary, split: Split, n_max: int) -> Sequence[LibraryScenario]:
    """The first scenarios of a split; `InputError` if there is none."""
    found = library.of_split(split)[:n_max]
    if not found:
        raise InputError(f"the scenario library of {library.case} has no scenario {WORDS_OF_SPLIT[split]}")
    return found
