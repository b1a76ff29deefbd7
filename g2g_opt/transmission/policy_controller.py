"""A contextual policy in the loop: it reads what the grid published before it acts, and shifts tasks (equations 9.5,
9.6).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from g2g_opt.clock import SimulationClock, as_period
from g2g_opt.controller.base import Controller
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.errors import InputError
from g2g_opt.events import EventEmitter
from g2g_opt.grid.command import GridCommand
from g2g_opt.transmission.policy import ContextualPolicy, CoordinationFeature
from g2g_opt.transmission.zonal_datacenter import HOUR_S, ShiftTasks, ZonalDatacenter
from g2g_opt.transmission.zonal_grid import ZonalGrid

Floats = NDArray[np.float64]

# A shift (datacenter,) that is asked for, to one that the datacenters accept.
Response = Callable[[Floats], Floats]


def published_names(zones: Sequence[str], lines: Sequence[str]) -> tuple[str, ...]:
    """What a zonal grid publishes every hour: load, price and renewables by zone, flow by line."""
    return (
        *(f"load.{zone}" for zone in zones),
        *(f"price.{zone}" for zone in zones),
        *(f"renewable.{zone}" for zone in zones),
        *(f"flow.{line}" for line in lines),
    )


def published_features(zones: Sequence[str], lines: Sequence[str], lag_h: int) -> tuple[CoordinationFeature, ...]:
    """Everything a zonal grid publishes, `lag_h` hours before a policy acts, as features."""
    units = {"load": "MW", "price": "$/MWh", "renewable": "MW", "flow": "MW"}
    return tuple(
        CoordinationFeature.of(name, units[name.split(".")[0]], lag_h) for name in published_names(zones, lines)
    )


class ContextualPolicyController(Controller[ZonalDatacenter, ZonalGrid]):
    """Shifts tasks for the hour that comes by what was published in the hours before, through `respond`.

    `names` are those of `published_names`; hours before the run come from `before` (hour, name), the latest last.
    `context` gives, for an hour of the run counted from 0, figures that are known without measuring (the clock). An
    hour in which figures are not there yet passes without a shift and with an event; so does the first of the run,
    before which nothing was sent. A grid of shorter steps publishes the mean of an hour when the hour is over. Raises
    `InputError` for a policy that does not fit, or a grid whose steps do not make an hour.
    """

    def __init__(
        self,
        policy: ContextualPolicy,
        datacenters: Sequence[ZonalDatacenter],
        grid: ZonalGrid,
        names: Sequence[str],
        respond: Response,
        *,
        before: Floats | None = None,
        context: Callable[[int], Mapping[str, float]] = lambda hour: {},
    ) -> None:
        known = {dc.name: dc for dc in datacenters}
        if missing := [name for name in policy.datacenters if name not in known]:
            raise InputError(f"the policy moves datacenters that are not there: {missing}")
        self._targets = [known[name] for name in policy.datacenters]
        self.policy, self._grid, self._respond, self._context = policy, grid, respond, context
        self._place = {name: k for k, name in enumerate(names)}
        self._before = np.empty((0, len(names))) if before is None else before
        if self._before.ndim != 2 or self._before.shape[1] != len(names):
            raise InputError(f"before has shape {self._before.shape}; it must be (hour, {len(names)})")
        steps = HOUR_S / as_period(grid.dt_s, "grid")
        if steps.denominator != 1:
            raise InputError(f"an hourly policy needs a grid with a whole number of steps an hour, not {grid.dt_s} s")
        self._steps_per_hour = int(steps)
        unknown = {figure.name for figure in policy.figures} - set(self._place) - set(context(0))
        if unknown:
            raise InputError(f"the policy reads what this grid does not publish: {sorted(unknown)}")
        if early := [figure.key for figure in policy.figures if figure.name in self._place and figure.lag_h < 1]:
            raise InputError(f"measured figures are at least an hour old when a policy acts; the policy reads {early}")
        if other := [f.key for f in policy.figures if f.name not in self._place and f.lag_h != 0]:
            raise InputError(f"figures of the context are those of the hour a policy acts in; the policy reads {other}")
        self.reset()

    @property
    def dt_s(self) -> Fraction:
        # The command for an hour is sent in the last step before it.
        return self._grid.dt_s

    def reset(self) -> None:
        """Forget what was published during the run."""
        self._published: list[Floats] = list(self._before)
        self._n_before = len(self._before)
        self._steps: list[Floats] = []

    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        state = self._grid.state
        assert state is not None  # the grid steps before controllers
        dispatch = state.dispatch
        self._steps.append(
            np.concatenate([state.load_mw, dispatch.price_usd_per_mwh, state.renewable_mw, dispatch.flow_mw])
        )
        if len(self._steps) < self._steps_per_hour:
            return []
        self._published.append(np.mean(self._steps, axis=0))
        self._steps = []
        # The command acts in the hour that comes.
        hour = len(self._published) - self._n_before
        clock_figures = self._context(hour)
        figures: dict[str, float] = {}
        for figure in self.policy.figures:
            if figure.lag_h == 0:
                figures[figure.key] = clock_figures[figure.name]
            elif figure.lag_h <= len(self._published):
                figures[figure.key] = float(self._published[-figure.lag_h][self._place[figure.name]])
        if len(figures) < len(self.policy.figures):
            events.emit("policy.waits", {"hour": hour})
            shift = np.zeros(len(self._targets))
        else:
            asked = self.policy.shift_mw(figures)
            shift = self._respond(asked)
            if not np.allclose(shift, asked, atol=1e-3):
                events.emit("policy.held_back", {"hour": hour, "asked_mw": asked.tolist(), "done_mw": shift.tolist()})
        return [ShiftTasks(float(mw), target=dc) for mw, dc in zip(shift, self._targets, strict=True)]
