"""Makes `controller_rigs` importable: tests are imported by path, so their folder is not on `sys.path` by itself."""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = str(Path(__file__).parent)
if FOLDER not in sys.path:
    sys.path.insert(0, FOLDER)
