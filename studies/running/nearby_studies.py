"""Where a study lies that was looked for in a folder that holds none."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from g2g_opt.errors import did_you_mean, listed

_NAMED = 6


def studies_near(ledger: Path) -> str:
    """Studies below the folder in which a ledger was looked for, or beside it by a like name: a sentence's end."""
    folder = ledger.parent
    if below := _names(folder.glob(f"*/{ledger.name}")):
        return f"; studies in it: {listed(below, _NAMED)}"
    return did_you_mean(folder.name, _names(folder.parent.glob(f"*/{ledger.name}")))


def _names(ledgers: Iterable[Path]) -> list[str]:
    return sorted(path.parent.name for path in ledgers)
