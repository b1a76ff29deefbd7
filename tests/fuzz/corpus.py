"""The areas of the corpus, and how many of its inputs each one has."""

from __future__ import annotations

import forbidden_lines
import malformed_circuits
import malformed_csv
import malformed_flags
import malformed_json
import malformed_live
import malformed_markets
import malformed_networks
import malformed_studies
import malformed_toml
from malformed_case import Maker

CIRCUITS, LIVE = malformed_circuits.AREA, malformed_live.AREA
AREAS: dict[str, Maker] = {
    part.AREA: part.make
    for part in (
        malformed_toml,
        malformed_flags,
        malformed_json,
        malformed_csv,
        malformed_networks,
        malformed_markets,
        malformed_studies,
        malformed_circuits,
        malformed_live,
        forbidden_lines,
    )
}
# Shares of the areas, in hundredths.
_WEIGHTS = {"toml": 28, "flags": 20, "json": 13, "csv": 13, "networks": 9, "markets": 7, "stored": 7, "guard": 3}


def shares(n: int) -> dict[str, int]:
    """How many of `n` inputs go to every area but circuits."""
    return {area: round(n * weight / 100) for area, weight in _WEIGHTS.items() if area in AREAS}
