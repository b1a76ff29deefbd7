"""Two sites on a feeder, and what is asked of their runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from batch_parts import site

from g2g_opt.batch.simulator import BatchRun
from g2g_opt.controller.adaptive_tap import AdaptiveTapConfig, AdaptiveTapController
from g2g_opt.controller.tap_schedule import TapScheduleController
from g2g_opt.datacenter.offline import OfflineDatacenter
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.tap_position import TapPosition, TapSchedule

TENTH, TWO, FIVE = Fraction(1, 10), Fraction(2), Fraction(5)
Sites = Mapping[str, OfflineDatacenter]


def two_sites(**options: Any) -> dict[str, OfflineDatacenter]:
    """One heavy and one lighter site of the 13-bus feeder, by bus."""
    return {"671": site("a", (1000, 200), **options), "675": site("b", (400, 100), batch=(64, 256), **options)}


def each(make: Callable[..., Any], **config: Any) -> Callable[[OpenDSSGrid, Sites], list[Any]]:
    """A rig with one such controller at every site."""
    return lambda grid, sites: [make(grid, dc, **config) for dc in sites.values()]


def changes(run: BatchRun, what: str = "batch_size") -> int:
    """How often a figure of a site's models changed."""
    assert run.trace is not None
    return sum(int(np.count_nonzero(np.diff(getattr(s, what), axis=0))) for s in run.trace.sites.values())


def schedule(*entries: tuple[float, dict[str, float]], dt_s: Fraction = Fraction(1)) -> TapScheduleController:
    positions = tuple((time_s, TapPosition(regulators=taps)) for time_s, taps in entries)
    return TapScheduleController(schedule=TapSchedule(positions), dt_s=dt_s)


LOW = dict.fromkeys(("creg1a", "creg1b", "creg1c"), 1.0)


def adaptive(
    grid: OpenDSSGrid, dt_s: Fraction, served: Mapping[str, list[str]] | None = None, **config: float
) -> AdaptiveTapController:
    return AdaptiveTapController(grid=grid, config=AdaptiveTapConfig(**config), served_buses=served, dt_s=dt_s)
