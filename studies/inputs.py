"""What a result follows from besides its question: the code, and the files it reads."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import g2g_opt
from g2g_opt.data_files import data_path
from g2g_opt.hourly_profile import profile_path
from studies.task import Question

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
_SHOWS_ONLY = {("studies", name) for name in ("report", "cli.py", "finish.py", "study_commands.py", "terminal.py")}
_NAMES_A_FILE = re.compile(r"^\s*(?:redirect|compile|buscoords|latlongcoords)\s+[\"'(]?([^\"')\s]+)", re.IGNORECASE)


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
    """SHA-256 of everything that results of a question follow from, by the names that a report gives it."""
    return input_hashes(question.input_files())


def input_hashes(files: Mapping[str, Path]) -> dict[str, str]:
    """SHA-256 of files by their names."""
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def files_under(kind: str, folder: Path) -> dict[str, Path]:
    """All files in a folder and below, by name."""
    return {f"{kind}/{p.relative_to(folder).as_posix()}": p for p in sorted(folder.rglob("*")) if p.is_file()}


def feeder_files(feeder: str, trace_dir: str, profile: str | None = None) -> dict[str, Path]:
    """Files that a study on this feeder reads, by name: circuit, bundled data, the user's traces and hourly profile."""
    if feeder.lower().endswith(".dss"):
        circuit = circuit_files(Path(feeder).expanduser())
    else:
        circuit = sorted(path for path in data_path("feeders", feeder.lower()).iterdir() if path.is_file())
    traces = sorted(path for path in Path(trace_dir).rglob("*") if path.is_file() and path.suffix in {".csv", ".json"})
    profiles = [profile_path(profile)] if profile is not None else []
    workloads = sorted(data_path("workloads").glob("*.csv"))
    return {
        f"{kind}/{path.name if kind != 'traces' else path.relative_to(trace_dir).as_posix()}": path
        for kind, paths in (("feeder", circuit), ("workloads", workloads), ("traces", traces), ("profiles", profiles))
        for path in paths
    }


def circuit_files(master: Path) -> list[Path]:
    """An OpenDSS master file and those it redirects to, directly or not, as far as they exist."""
    found: list[Path] = []
    waiting = [master.resolve()]
    while waiting:
        path = waiting.pop()
        if path in found or not path.is_file():
            continue
        found.append(path)
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if match := _NAMES_A_FILE.match(line):
                waiting.append((path.parent / match.group(1).replace("\\", "/")).resolve())
    return sorted(found)
