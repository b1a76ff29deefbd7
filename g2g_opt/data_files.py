"""Where the bundled figures lie: in the wheel as `g2g_opt/_data`, in a checkout as `data/`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from g2g_opt.csv_files import read_csv
from g2g_opt.errors import InputError
from g2g_opt.reading import is_folder

# Where a user's own traces lie unless a study says otherwise; it need not be there.
TRACE_DIR = Path("data/specs")
_PACKAGE = Path(__file__).resolve().parent


@cache
def data_path(*parts: str) -> Path:
    """Path of a bundled file or folder, e.g. `data_path("feeders", "ieee13")`.

    Raises `InputError` if neither the wheel nor the checkout holds it.
    """
    for root in (_PACKAGE / "_data", _PACKAGE.parent / "data"):
        path = root.joinpath(*parts)
        if path.exists():
            return path
    raise InputError(f"bundled data {'/'.join(parts)!r} not found beside {_PACKAGE}; reinstall g2g-opt")


def trace_folder(folder: Path) -> Path:
    """The folder of a user's traces; `InputError` if it is not there, unless it is the usual one (`TRACE_DIR`)."""
    if folder != TRACE_DIR and not is_folder(folder):
        raise InputError(f"trace_dir {folder} is no folder that is there; give the one that holds MODEL/trace.csv")
    return folder


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a bundled CSV file with a header, as strings; lines that start with '#' are left out."""
    return [row.cells for row in read_csv(path, "table", (), may_be_empty=True).rows]
