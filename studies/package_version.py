"""Which version of the package this is: its number, and the commit that it was built from."""

from __future__ import annotations

import subprocess
from pathlib import Path

import g2g_opt

_PACKAGE = Path(g2g_opt.__file__).resolve().parent
# A built package holds the commit in this file (`.ci/build_hook.py`); in a checkout it is asked for.
_STORED = _PACKAGE / "_commit.txt"
_GIT = ("git", "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*")


def commit() -> str:
    """The commit, with a + behind it if files were changed since; empty where nobody knows it."""
    if _STORED.is_file():
        return _STORED.read_text(encoding="utf-8").strip()
    root = _PACKAGE.parent
    if not (root / ".git").exists():
        return ""
    try:
        done = subprocess.run(_GIT, cwd=root, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def version_in_words() -> str:
    """Name, version and commit, as `g2g --version` says them."""
    known = commit()
    return f"g2g-opt {g2g_opt.__version__}" + (f" (commit {known})" if known else "")
