"""The question of a portfolio, complete enough to rerun: one question asked of every feeder of a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from g2g_opt.communication import ChannelsAsked
from g2g_opt.errors import InputError, listed
from g2g_opt.feeder import Feeder
from g2g_opt.flag import Flag
from g2g_opt.quantities import Count
from g2g_opt.reading import TABLE_BYTES_MAX, read_text, read_toml, user_path
from studies.catalogue import make_question, question_type
from studies.shared.asked_channels import with_channels
from studies.shared.question_fields import StudySeed
from studies.shared.question_model import question_model
from studies.shared.task import Question

DESCRIPTION = (
    "One question over every feeder of a folder: a row for each, buses ranked over all of them, and a reason for every "
    "feeder that has no answer. Feeders are the .dss files in the folder, and in each folder below the one called "
    "Master.dss or the only one; a text file feeders.txt names bundled feeders or paths instead, one a line."
)
EPILOG = (
    "Example: g2g portfolio feeders/ --question study.toml. The question is any study file of a study on a feeder "
    "(g2g hosting-capacity --save study.toml ...): its feeder is replaced by each one in turn."
)
POSITIONAL = "folder"
_LIST = "feeders.txt"
# Files of a folder that are named.
_NAMED = 6
# Circuits that a folder below may have several files of: its own name for the one that includes the others.
_MASTERS = ("master.dss",)


@question_model
class PortfolioQuestion:
    """The question, complete enough to rerun: what do the feeders of `folder` answer to the study file `question`?

    Without a study file it is hosting capacity as the command asks it. Where the question names no `buses`, it is asked
    of at most `buses_max` of every feeder. `channels` take the place of those of the study file.
    """

    folder: Annotated[str, Flag("--folder", "folder of feeders, also without the flag", metavar="DIR")] = ""
    question: Annotated[
        str | None,
        Flag("--question", "study file that is asked of every feeder", metavar="FILE", unset="hosting capacity"),
    ] = None
    buses_max: Annotated[
        Count,
        Flag(
            "--buses-max",
            "buses of each feeder that are asked about, spread over its candidates, where the question names none",
        ),
    ] = 4
    channels: ChannelsAsked = None
    seed: StudySeed = 0

    @property
    def feeder(self) -> str:
        """Empty: the study is on no feeder of its own."""
        return ""

    def root(self) -> Path:
        """The folder; `InputError` if there is none."""
        if not self.folder:
            raise InputError("name the folder of feeders (g2g portfolio FOLDER)")
        path = user_path(self.folder, "folder")
        if not path.is_dir():
            raise InputError(f"folder {path} is not there, or no folder")
        return path

    def feeders(self) -> dict[str, str]:
        """Feeders by name: bundled ones, or paths of master files; `InputError` if there are none.

        A folder of which nobody can tell what its master file is stands for itself: it has a reason, and no answer.
        """
        root = self.root()
        list_path = root / _LIST
        if list_path.is_file():
            lines = [line.strip() for line in read_text(list_path, "list of feeders", TABLE_BYTES_MAX).splitlines()]
            named = [line for line in lines if line and not line.startswith("#")]
            found = {name: str(root / name) if name.lower().endswith(".dss") else name for name in named}
        else:
            files = sorted(path for path in root.iterdir() if path.suffix.lower() == ".dss")
            found = {}
            for path in files:
                found[path.name if path.stem in found else path.stem] = str(path.resolve())
            for below in sorted(path for path in root.iterdir() if path.is_dir()):
                master = _master(below) or (below if _may_hold_a_feeder(below) else None)
                if master is not None:
                    name = str(master.relative_to(root)) if below.name in found else below.name
                    found[name] = str(master.resolve())
        if not found:
            raise InputError(f"folder {root} has no feeder: a .dss file, folders with a Master.dss, or {_LIST}")
        return found

    def asked_of(self, feeder: str) -> Question:
        """The question, asked of one feeder; `InputError` where it cannot be."""
        # A bundled feeder may have the name of a folder where the command runs: its own is absolute.
        if os.path.isabs(feeder) and Path(feeder).is_dir():
            files = [path.name for path in _circuit_files(Path(feeder))]
            what = (
                f"has {listed(files, _NAMED)}, and none is called Master.dss" if files else "has its .dss files deeper"
            )
            raise InputError(f"folder {feeder} {what}; name its master file in {_LIST} of {self.folder}")
        content: dict[str, Any] = {"study": "hosting-capacity", "ladder": False}
        if self.question is not None:
            content = dict(read_toml(user_path(self.question, "question"), "study file"))
        study = content.pop("study", None)
        if not isinstance(study, str):
            raise InputError(f'{self.question} does not say which study it is; begin with e.g. study = "check"')
        kind = question_type(study)
        known = kind.__dataclass_fields__
        if "feeder" not in known:
            raise InputError(
                f"{self.question}: {study!r} is asked of no feeder, and a portfolio asks every feeder: give the study "
                "file of one that has --feeder, e.g. of check or hosting-capacity"
            )
        content |= {"feeder": feeder}
        if self.channels is not None:
            content = with_channels(study, kind, content, self.channels)
        if "buses" in known and not content.get("buses"):
            content["buses"] = list(self._spread(Feeder.find(feeder).candidate_buses))
        return make_question(study, content, f"the question of {os.path.basename(feeder)}")

    def _spread(self, buses: tuple[str, ...]) -> tuple[str, ...]:
        n = min(self.buses_max, len(buses))
        return tuple(buses[k * len(buses) // n] for k in range(n)) if n else ()


def _circuit_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() == ".dss")


def _may_hold_a_feeder(folder: Path) -> bool:
    """Are there circuit files in a folder, or in one of its own?"""
    return any(_circuit_files(one) for one in (folder, *(path for path in folder.iterdir() if path.is_dir())))


def _master(folder: Path) -> Path | None:
    """The master file of a folder; None if it holds no circuit, or several and none of them is called so."""
    files = _circuit_files(folder)
    named = [path for path in files if path.name.lower() in _MASTERS]
    return named[0] if named else files[0] if len(files) == 1 else None
