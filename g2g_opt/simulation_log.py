"""What a run leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from g2g_opt.datacenter.base import DCStateT
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.events import SimEvent
from g2g_opt.grid.base import GridStateT
from g2g_opt.grid.command import GridCommand

Command = DatacenterCommand | GridCommand


@dataclass
class SimulationLog(Generic[DCStateT, GridStateT]):
    """States of every site and of the grid, commands and events of a run.

    Array-backed components leave sequences that make a state object when one is asked for, and whose arrays
    (`power_w`, `voltage_pu`, ...) can be used directly: see `OfflineDatacenterRecord` and `GridRecord`.
    """

    dc_states_by_site: dict[str, Sequence[DCStateT]] = field(default_factory=dict)
    grid_states: Sequence[GridStateT] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    command_time_s: list[float] = field(default_factory=list)
    time_s: Sequence[float] = field(default_factory=list)
    events: list[SimEvent] = field(default_factory=list)

    @property
    def dc_states(self) -> Sequence[DCStateT]:
        """The states of all sites, in order of time; with one site, that site's record."""
        if len(self.dc_states_by_site) == 1:
            return next(iter(self.dc_states_by_site.values()))
        return MergedStates(list(self.dc_states_by_site.values()))

    def emit(self, event: SimEvent) -> None:
        """Take an event."""
        self.events.append(event)


class MergedStates(Sequence[Any]):
    """Several sites' states as one sequence in order of time, made when asked for; `records` are the parts."""

    def __init__(self, records: Sequence[Sequence[Any]]) -> None:
        self.records = list(records)
        self._order: list[tuple[float, int, int]] | None = None

    def __len__(self) -> int:
        return sum(len(record) for record in self.records)

    def __getitem__(self, index: int | slice) -> Any:
        if self._order is None:
            self._order = sorted(
                (time_s, site, step)
                for site, record in enumerate(self.records)
                for step, time_s in enumerate(_times(record))
            )
        if isinstance(index, slice):
            return [self.records[site][step] for _, site, step in self._order[index]]
        _, site, step = self._order[index]
        return self.records[site][step]


def _times(record: Sequence[Any]) -> list[float]:
    times = getattr(record, "time_s", None)
    return [state.time_s for state in record] if times is None else list(times)
