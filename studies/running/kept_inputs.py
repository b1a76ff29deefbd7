"""The user's files that a study reads, kept in its folder from the start, so that it can be reported on without them.

Every file lies below `inputs/` at its whole path: what files name of each other is found among the copies as it was
among them. A list beside them says which input of the study each is, with its SHA-256. Bundled data are not kept, nor
are the files of a trusted circuit, which OpenDSS alone knows.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from g2g_opt.circuit.script_file.reading import is_own_circuit
from g2g_opt.data_files import data_path
from g2g_opt.errors import InputError, listed
from g2g_opt.kept_files import KeptFiles
from g2g_opt.reading import read_json
from studies.running.study_folder import StudyFolder, sync_folder, write_whole, writing
from studies.shared.task import Question

_LIST = "list.json"


@dataclass(frozen=True)
class KeptInputs:
    """What was kept of a study's inputs: `files` of the user by the names that a report gives them (whole paths), and
    names of `bundled` ones (paths within the package's data).
    """

    place: KeptFiles
    files: Mapping[str, str]
    bundled: Mapping[str, str]

    def changed(self, recorded: Mapping[str, str]) -> list[str]:
        """Names of inputs that lie elsewhere and are not what was `recorded`, sorted; what is gone is not changed."""
        now = self._originals() | {name: data_path(*Path(path).parts) for name, path in self.bundled.items()}
        return sorted(name for name, path in now.items() if path.is_file() and _sha256(path) != recorded.get(name))

    def way_back(self) -> str:
        """How files that are gone come back to where a study reads them, as the end of a sentence; empty if none is."""
        gone = sum(not path.exists() for path in self._originals().values())
        if not gone:
            return ""
        are = "is not where it was" if gone == 1 else "are not where they were"
        return (
            f"; {gone} of the files that this study began with {are}: their copies lie in {self.place.folder} below "
            "their whole paths, and put back there they are what it goes on with; a report needs none"
        )

    def _originals(self) -> dict[str, Path]:
        return {name: Path(os.path.join(self.place.began_in, path)) for name, path in self.files.items()}


def keep_inputs(folder: StudyFolder, question: Question, recorded: Mapping[str, str]) -> None:
    """Copy the user's files that a question reads into a study's folder; `recorded` are their SHA-256 by name.

    Raises `InputError` if one is not what was recorded any more, and `StorageError` if there is no room.
    """
    place = KeptFiles(folder.inputs, os.getcwd())
    files, bundled = _files_of(question, recorded)
    with writing(folder.inputs):
        shutil.rmtree(folder.inputs, ignore_errors=True)
        folder.inputs.mkdir(parents=True)
        for name, path in files.items():
            copy = place.place_of(path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            if _sha256(copy) != recorded[name]:
                raise InputError(f"{path} changed while the study began; give the same command again")
        content = {
            "began_in": place.began_in,
            "files": {name: os.path.normpath(path) for name, path in files.items()},
            "bundled": bundled,
        }
        write_whole(folder.inputs / _LIST, json.dumps(content, indent=1, sort_keys=True).encode())
        sync_folder(folder.inputs)


def kept_inputs(folder: StudyFolder, recorded: Mapping[str, str]) -> KeptInputs | None:
    """What a study kept of its inputs, checked against the SHA-256 that it `recorded`; None if it kept none.

    Raises `InputError` if a copy is not what was recorded, or no file of the study's folder.
    """
    if not os.path.lexists(folder.inputs / _LIST):
        return None
    began_in, files, bundled = _listed(folder)
    place = KeptFiles(folder.inputs, began_in)
    damaged = [name for name, path in files.items() if not _is_whole(place, Path(path), recorded.get(name))]
    if damaged:
        raise InputError(
            f"copies of inputs in {folder.inputs} are not what the study recorded: {listed(damaged, 6)}; remove that "
            "folder to have the files themselves read"
        )
    return KeptInputs(place, files, bundled)


def _files_of(question: Question, recorded: Mapping[str, str]) -> tuple[dict[str, Path], dict[str, str]]:
    """The user's files by name, and bundled ones by name, of what was recorded."""
    data = data_path("feeders").parent
    files: dict[str, Path] = {}
    bundled: dict[str, str] = {}
    for name, path in question.input_files().items():
        if path.resolve().is_relative_to(data.resolve()):
            bundled[name] = path.resolve().relative_to(data.resolve()).as_posix()
        else:
            files[name] = path
    if is_own_circuit(question.feeder):
        master = Path(os.path.abspath(Path(question.feeder).expanduser()))
        of_circuit = {name: name.removeprefix("feeder/") for name in recorded if name.startswith("feeder/")}
        # Of a trusted circuit no files are known: what is recorded is the network that it compiles to.
        files |= {
            name: path
            for name, within in of_circuit.items()
            if name not in files and (path := Path(os.path.normpath(master.parent / within))).is_file()
        }
    return files, bundled


def _listed(folder: StudyFolder) -> tuple[str, dict[str, str], dict[str, str]]:
    path = folder.inputs / _LIST
    content = read_json(path, "list of kept inputs")
    parts: list[Any] = [content.get(key) if isinstance(content, dict) else None for key in ("files", "bundled")]
    began_in = content.get("began_in") if isinstance(content, dict) else None
    plain = all(isinstance(part, dict) and all(isinstance(value, str) for value in part.values()) for part in parts)
    if not plain or not isinstance(began_in, str) or not os.path.isabs(began_in):
        raise InputError(f"{path} is no list of kept inputs; remove {folder.inputs} to have the files themselves read")
    if any(".." in Path(value).parts or os.path.isabs(value) for value in parts[1].values()):
        raise InputError(f"{path} names bundled files elsewhere; remove {folder.inputs}")
    return began_in, parts[0], parts[1]


def _is_whole(place: KeptFiles, path: Path, sha256: str | None) -> bool:
    """Whether a copy is there, lies in the study's folder itself, and is what was recorded."""
    copy = place.place_of(path)
    try:
        kind = copy.lstat().st_mode
    except OSError:
        return False
    # A link would have a stranger's study read what lies elsewhere.
    inside = copy.parent.resolve() == place.folder.resolve() / copy.parent.relative_to(place.folder)
    return stat.S_ISREG(kind) and inside and _sha256(copy) == sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
