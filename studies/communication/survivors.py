"""What every link leaves of the capacity at a bus, from rows of searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from studies.communication.links import LinkState
from studies.communication.rows import SurvivingRow


@dataclass(frozen=True)
class Survivor:
    """What is left at a bus over one link, by draw: MW (what a fleet would draw uncontrolled), those of firm operation
    and of a perfect link, and the rows.

    A controller that hosts less than nobody would is left off.
    """

    link: LinkState
    mw: np.ndarray
    firm_mw: np.ndarray
    perfect_mw: np.ndarray
    rows: tuple[SurvivingRow, ...]
    firm_rows: tuple[SurvivingRow, ...]

    @property
    def limit(self) -> str:
        """What stops larger sites in the first draw, in words."""
        return self.rows[0].limit or "the end of the search"

    @property
    def firm_limit(self) -> str:
        """What stops larger firm sites in the first draw, in words."""
        return self.firm_rows[0].limit or "the end of the search"

    @property
    def flexible_mw(self) -> float:
        """Mean MW beyond firm."""
        return float((self.mw - self.firm_mw).mean())


def survivors_of(rows: Sequence[SurvivingRow], bus: str) -> list[Survivor]:
    """What every link leaves at a bus, the perfect one first; none if that one, or firm, lacks a draw."""
    own = [row for row in rows if row.bus == bus]
    firm = {row.draw: row for row in own if row.operation == "firm"}
    by_link: dict[LinkState, dict[int, SurvivingRow]] = {}
    for row in own:
        if row.operation == "flexible":
            by_link.setdefault(row.link, {})[row.draw] = row
    perfect = next((link for link in by_link if link.transport == "ideal" and not link.outage_s), None)
    if perfect is None or set(by_link[perfect]) != set(firm):
        return []
    firm_mw = np.array([row.fleet_mw for row in firm.values()])
    mw = {
        link: np.maximum([found[draw].fleet_mw for draw in firm], firm_mw)
        for link, found in by_link.items()
        if set(found) == set(firm)
    }
    order = sorted(mw, key=lambda link: link != perfect)
    return [
        Survivor(
            link, mw[link], firm_mw, mw[perfect], tuple(by_link[link][draw] for draw in firm), tuple(firm.values())
        )
        for link in order
    ]
