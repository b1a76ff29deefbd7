"""The files of a circuit: which may be read, as what, and what they held."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from pathlib import Path

from g2g_opt.circuit.script_file.tokens import ScriptError
from g2g_opt.errors import InputError, did_you_mean

_TEXT_MAX_BYTES = 256 * 1024**2  # of all scripts of a circuit together
_DATA_MAX_BYTES = 2 * 1024**3  # of one data file
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")


class CircuitFiles:
    """The files that a master file may reach: regular ones in its folder, in the one above, and below them.

    `read` holds their SHA-256 by path from the master file's folder. Raises `InputError` if there is no master file.
    """

    def __init__(self, master: Path) -> None:
        # As in OpenDSS, a link is the file or folder that it stands for, in the place where it stands itself.
        self.master = Path(os.path.abspath(master.expanduser()))
        folder = self.master.parent.resolve()
        # Beside a folder at the top of the file system lies everything.
        self._root = folder.parent if folder.parent != folder.parent.parent else folder
        self.read: dict[str, str] = {}
        self._data_read: set[Path] = set()
        # The files of folders by their names in lower case.
        self._listed: dict[Path, dict[str, list[Path]]] = {}
        self._n_bytes = 0
        if not self.master.is_file():
            raise InputError(f"OpenDSS master file {self.master} not found, or no regular file")
        if any("\udc80" <= letter <= "\udcff" for letter in str(self.master)):
            raise InputError(f"the path {str(self.master)!r} is no text, which OpenDSS cannot read; move the file")

    def name(self, path: Path) -> str:
        """A file's path from the master file's folder."""
        return Path(os.path.relpath(path, self.master.parent)).as_posix()

    def shown(self, path: Path) -> str:
        """A file's path for people: the master's whole, others from its folder."""
        return str(path) if path == self.master else f"{self.name(path)} (included by {self.master})"

    def script(self, text: str, folder: Path) -> Path:
        """The script that is meant by `text` in a script in `folder`."""
        return self._find(text, folder)

    def folder(self, text: str, folder: Path) -> Path:
        """The folder that is meant by `text` in a script in `folder`."""
        path = self._path(text, folder)
        if not path.is_dir():
            raise self._missing("folder", text, path, folder)
        return path

    def data(self, text: str, folder: Path) -> Path:
        """The data file that is meant by `text` in a script in `folder`, which OpenDSS will read."""
        path = self._find(text, folder)
        if path in self._data_read:
            return path
        if '"' in str(path):
            raise ScriptError(f"the path {path} holds a quotation mark, which OpenDSS cannot read; move the file")
        if path.stat().st_size > _DATA_MAX_BYTES:
            raise ScriptError(f"{text!r} is larger than {_DATA_MAX_BYTES // 1024**3} GiB")
        try:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256")
        except OSError as error:
            raise ScriptError(f"{text!r} cannot be read: {error.strerror}") from error
        self.read[self.name(path)] = digest.hexdigest()
        self._data_read.add(path)
        return path

    def text(self, path: Path) -> str:
        """The text of a script: UTF-8, UTF-16 if it is marked so, or the Latin-1 of older circuits."""
        self._n_bytes += path.stat().st_size
        if self._n_bytes > _TEXT_MAX_BYTES:
            raise InputError(f"{self.shown(path)}: the circuit's scripts are larger than {_TEXT_MAX_BYTES >> 20} MiB")
        try:
            content = path.read_bytes()
        except OSError as error:
            raise InputError(f"{self.shown(path)} cannot be read: {error.strerror}") from error
        self.read[self.name(path)] = hashlib.sha256(content).hexdigest()
        try:
            text = content.decode("utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("latin-1")
        found = _CONTROL.search(text)
        if found is not None:
            line = text.count("\n", 0, found.start()) + 1
            raise InputError(f"{self.shown(path)}, line {line}: no text, but a byte {ord(found.group()):#04x}")
        return text

    def _find(self, text: str, folder: Path) -> Path:
        path = self._path(text, folder)
        try:
            kind = path.stat().st_mode
        except OSError:
            raise self._missing("file", text, path, folder) from None
        if not stat.S_ISREG(kind):
            raise ScriptError(f"{text!r} is no regular file")
        return path

    def _missing(self, kind: str, text: str, path: Path, folder: Path) -> ScriptError:
        """What is said of a file or folder that is not there, with the nearest name beside where it would be."""
        try:
            beside = [other.name for other in path.parent.iterdir() if other.is_dir() == (kind == "folder")]
        except OSError:
            beside = []
        return ScriptError(f"the {kind} {text!r} does not exist in {folder.resolve()}{did_you_mean(path.name, beside)}")

    def _path(self, text: str, folder: Path) -> Path:
        if "@" in text and not (folder / text).exists():
            raise ScriptError(f"the file name {text!r} holds a variable")
        try:
            path = self._in_any_case(Path(os.path.normpath(folder / text.strip().replace("\\", "/"))))
            real = path.resolve()
        except (OSError, ValueError, RuntimeError) as error:
            raise ScriptError(f"{text!r} is no path of a file: {error}") from error
        if not real.is_relative_to(self._root):
            raise ScriptError(
                f"{text!r} lies outside the circuit's folder and the one above it; move it there, or run with "
                "--trust-circuit if the circuit is your own"
            )
        return path

    def _in_any_case(self, path: Path) -> Path:
        """The only file whose path differs from `path` in case alone, as circuits written on Windows name it."""
        if path.exists() or path == path.parent:
            return path
        folder = self._in_any_case(path.parent)
        if folder not in self._listed:
            listed = self._listed[folder] = {}
            for other in folder.iterdir() if folder.is_dir() else ():
                listed.setdefault(other.name.lower(), []).append(other)
        same = self._listed[folder].get(path.name.lower(), [])
        return same[0] if len(same) == 1 else folder / path.name
