"""`@kernel` and `@inner`: functions that are compiled, once per machine and version of the code.

What is compiled is kept in the user's cache folder, under a hash of every source file that kernels are made of, and of
those that they import anything from, however far: all checkouts and processes of one version share it, and a changed
constant or inner function is never missed (numba by itself looks at the file of the outermost function alone, and at
its path). `NUMBA_CACHE_DIR` moves the folder.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

from numba import __version__ as numba_version
from numba import config, njit
from numba.core.caching import CacheImpl, CompileResultCacheImpl, FunctionCache
from numba.misc.appdirs import AppDirs

_PACKAGE = Path(__file__).resolve().parents[1]
# A module with kernels, or with what they are made of, says so by importing from here.
_MARK = b"g2g_opt.compiled"
_IMPORT = re.compile(rb"^from g2g_opt\.([\w.]+) import (\w+)", re.MULTILINE)
# Versions whose code is kept, the present one among them.
_KEPT_VERSIONS = 6
# A version that was used within this time (s) may be in use: what another process compiles is put there.
_IN_USE_S = 3600.0
# Versions of numba whose private parts `pipeline` and what loads compiled code were tried with.
_PIPELINE_TRIED = ("0.68.",)
# Files that have not changed for so long (s) are told by their sizes and times.
_SETTLED_S = 3.0


@cache
def version() -> str:
    """Hash of all source files that kernels are made of.

    The files are read where any of the package has another size or time than when the hash was last worked out.
    """
    files = sorted(_PACKAGE.rglob("*.py"))
    stats = [(path.relative_to(_PACKAGE).as_posix(), path.stat()) for path in files]
    told = [numba_version, *((name, at.st_size, at.st_mtime_ns) for name, at in stats)]
    seen = sha256(repr(told).encode()).hexdigest()
    kept = _root() / f"{sha256(str(_PACKAGE).encode()).hexdigest()[:20]}.version"
    with suppress(OSError):
        known, _, found = kept.read_text(encoding="ascii").partition(" ")
        if known == seen:
            return found
    found = _hash_of_sources(files)
    # A file that changed just now may change again within what its time can tell.
    if time.time() - max(at.st_mtime for _, at in stats) > _SETTLED_S:
        with suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            written = kept.with_suffix(f".{os.getpid()}")
            written.write_text(f"{seen} {found}", encoding="ascii")
            written.replace(kept)
    return found


def _hash_of_sources(files: Sequence[Path]) -> str:
    texts = {path: path.read_bytes() for path in files}
    waiting = [path for path, text in texts.items() if _MARK in text]
    used: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in texts and path not in used:
            used.add(path)
            for module, name in _IMPORT.findall(texts[path]):
                place = _PACKAGE.joinpath(*module.decode().split("."))
                waiting += [place.with_suffix(".py"), place / f"{name.decode()}.py"]
    found = sha256()
    # Another numba, and another way through it, is another version.
    found.update(f"{numba_version} {bool(_pipelines()[0])}".encode())
    for path in sorted(used):
        found.update(path.relative_to(_PACKAGE).as_posix().encode())
        found.update(texts[path])
    return found.hexdigest()[:20]


def _root() -> Path:
    """Where all versions lie."""
    return Path(config.CACHE_DIR or AppDirs(appname="g2g_opt", appauthor=False).user_cache_dir) / "kernels"


@cache
def folder() -> Path:
    """Where this version's compiled code lies; when it is made, older ones that nobody uses go."""
    root = _root()
    found = root / version()
    if not found.exists():
        found.mkdir(parents=True, exist_ok=True)
        others = {path: path.stat().st_mtime for path in root.iterdir() if path != found and path.is_dir()}
        for old in sorted(others, key=lambda path: others[path], reverse=True)[_KEPT_VERSIONS - 1 :]:
            if others[old] < time.time() - _IN_USE_S:
                shutil.rmtree(old, ignore_errors=True)
    with suppress(OSError):
        os.utime(found)
    # Is it ours to write to?
    tempfile.TemporaryFile(dir=found).close()
    return found


class _VersionLocator:
    """Numba's interface to a place for compiled code: that of this version."""

    def __init__(self, function: Any, file: str) -> None:
        self._file, self._line = file, function.__code__.co_firstlineno
        # Only read by numba where it warns.
        self._py_file = file

    @classmethod
    def from_function(cls, function: Any, file: str) -> _VersionLocator | None:
        try:
            folder()
        except OSError:
            return None  # numba's own places are next
        return cls(function, file)

    def get_cache_path(self) -> str:
        return str(folder())

    def ensure_cache_path(self) -> None:
        os.makedirs(self.get_cache_path(), exist_ok=True)

    def get_source_stamp(self) -> str:
        return version()

    def get_disambiguator(self) -> str:
        return str(self._line)


class _VersionCacheImpl(CompileResultCacheImpl):
    _locator_classes: ClassVar[list[Any]] = [_VersionLocator, *CacheImpl._locator_classes]


class _VersionCache(FunctionCache):
    _impl_class = _VersionCacheImpl

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """As numba's own, which reads in first all that it compiles with: 0.35 s of every process. What is compiled
        needs its runtime alone.
        """
        if not _pipelines()[0]:
            return super().load_overload(sig, target_context)
        from numba.core.runtime import rtsys

        rtsys.initialize(target_context)
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


@cache
def _pipelines() -> tuple[dict[str, Any], dict[str, Any]]:
    """Options by which kernels and inner functions are compiled in fewer passes (`pipeline`).

    None where they could not be: numba's own passes make the same code, in two to three times the time.
    """
    if not numba_version.startswith(_PIPELINE_TRIED):
        return {}, {}
    try:
        from g2g_opt.compiled.pipeline import InnerCompiler, KernelCompiler
    except (ImportError, AttributeError):
        return {}, {}
    return {"pipeline_class": KernelCompiler}, {"pipeline_class": InnerCompiler}


def kernel(function: Callable[..., Any]) -> Any:
    """A compiled function that Python calls; division by zero gives what it gives in IEEE arithmetic.

    Other threads run meanwhile: what it is given has to be its own.
    """
    compiled = njit(error_model="numpy", nogil=True, no_cfunc_wrapper=True, **_pipelines()[0])(function)
    compiled._cache = _VersionCache(function)
    return compiled


def inner(function: Callable[..., Any]) -> Any:
    """A compiled function that only kernels call."""
    no_wrappers = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return njit(error_model="numpy", **_pipelines()[1], **no_wrappers)(function)
