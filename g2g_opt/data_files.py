"""Where the bundled figures lie: in the wheel as `g2g_opt/_data`, in a checkout as `data/`."""

from __future__ import annotations

import csv
from pathlib import Path

from g2g_opt.errors import InputError

_PACKAGE = Path(__file__).resolve().parent


def data_path(*parts: str) -> Path:
    """Path of a bundled file or folder, e.g. `data_path("feeders", "ieee13")`.

    Raises `InputError` if neither the wheel nor the checkout holds it.
    """
    for root in (_PACKAGE / "_data", _PACKAGE.parent / "data"):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise InputError(f"bundled data {'/'.join(parts)!r} not found beside {_PACKAGE}; reinstall g2g-opt")


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file with a header, as strings; lines that start with '#' are left out."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))
