"""What a result follows from besides its question: the code, and the files it reads."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import g2g_opt
from g2g_opt.circuit.script_file.reading import circuit_inputs, is_own_circuit
from g2g_opt.errors import InputError
from g2g_opt.reading import file_status, read_bytes
from studies.shared.task import Question

_PACKAGES = (
    "numpy",
    "numba",
    "dss_python_backend",
    "highspy",
    "piqp",
    "clarabel",
    "scipy",
    "pandas",
    "tsam",
    "pydantic",
    "pyarrow",
)
# Shows results and takes commands; no result changes with it.
_SHOWS_ONLY = {
    ("studies", name)
    for name in (
        *("report", "simulation_log"),
        *(
            "__main__.py",
            "cli.py",
            "package_version.py",
            "study_report.py",
            "models_table.py",
            "study_commands.py",
            "terminal.py",
        ),
    )
}


@lru_cache
def code_version() -> str:
    """The package's version and a digest of the source that results follow from: an edit of it is another version."""
    root = Path(g2g_opt.__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for package in ("g2g_opt", "solvers", "studies"):
        for path in sorted((root / package).rglob("*.py")):
            if path.relative_to(root).parts[:2] in _SHOWS_ONLY:
                continue
            digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return f"{g2g_opt.__version__}+{digest.hexdigest()[:10]}"


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def inputs_of(question: Question) -> dict[str, str]:
    """SHA-256 of everything that results of a question follow from, by the names that a report gives it.

    Raises `InputError` if one of the files cannot be read any more.
    """
    found = input_hashes(question.input_files())
    if is_own_circuit(question.feeder):
        edits = getattr(question, "edits", None)
        circuit = circuit_inputs(Path(question.feeder), None if edits is None else Path(edits))
        found |= {f"feeder/{name}": digest for name, digest in circuit.items()}
    return found


class InputsChangedError(InputError):
    """Files that results follow from are not what they were when the study began."""


def changed_inputs(recorded: Mapping[str, str], question: Question) -> list[str]:
    """Names of inputs that are not what was `recorded`, sorted."""
    now = inputs_of(question)
    return sorted(name for name in {*now, *recorded} if now.get(name) != recorded.get(name))


def check_inputs(recorded: Mapping[str, str], question: Question) -> None:
    """Raise `InputsChangedError` if inputs are not what was `recorded`."""
    changed = changed_inputs(recorded, question)
    if changed:
        raise InputsChangedError(
            f"files changed since the study began: {', '.join(changed)}; begin anew in another folder"
        )


def input_hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of files by their names."""
    found = {}
    for name, path in files.items():
        about = file_status(path, f"input {name}:")
        found[name] = _sha256(path, about.st_mtime_ns, about.st_size, about.st_ino)
    return found


@lru_cache(maxsize=4096)
def _sha256(path: Path, mtime_ns: int, n_bytes: int, inode: int) -> str:
    """Digest of a file as it stands: read again whenever its time, size or place on the disk is another."""
    return hashlib.sha256(read_bytes(path, "input")).hexdigest()
