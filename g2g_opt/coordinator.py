"""The loop: datacenters, then the grid, then the controllers, each at its own rate (equations, section 1)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Generic, Protocol

from g2g_opt.clock import SimulationClock, as_period, common_tick
from g2g_opt.common import ThreePhase
from g2g_opt.controller.base import Controller
from g2g_opt.datacenter.base import DatacenterBackend, DCStateT
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.errors import InputError
from g2g_opt.events import EventEmitter, SimEvent
from g2g_opt.grid.base import GridBackend, GridStateT
from g2g_opt.grid.command import GridCommand
from g2g_opt.simulation_log import Command, SimulationLog

logger = logging.getLogger(__name__)

# A block is never longer than this, so that progress is told and a failed run ends soon.
_BLOCK_TICKS_MAX = 256


@dataclass(frozen=True)
class TickOutput(Generic[DCStateT, GridStateT]):
    """What one base tick made: states of the components that were due, commands sent, events emitted."""

    t_s: float
    dc_states: dict[str, DCStateT]
    grid_state: GridStateT | None
    commands: list[Command]
    sim_events: list[SimEvent]


@dataclass(frozen=True)
class RunTiming:
    """The rates of a run: its base tick (s) and how many there are; ticks between two steps of the grid, of each site
    in their order, and of the controllers.
    """

    tick_s: Fraction
    n_ticks: int
    grid_ticks: int
    site_ticks: tuple[int, ...]
    control_ticks: tuple[int, ...]


class CommandLinks(Protocol):
    """What carries measurements and commands of a run, if controllers do not see and act at once.

    `prepare` comes after components were started; on every tick `begin` comes before sites step, `measure` after the
    grid has, `send` with what a controller commands, and `close` after all controllers that were due. `dispatch` hands
    commands to their targets; `send` returns the commands with their real targets, for the log.
    """

    def prepare(self, timing: RunTiming) -> None:
        """Get ready for a run; components were started."""

    def begin(self, tick: int, dispatch: Callable[[Sequence[Command]], None]) -> None:
        """Hand over what has arrived by a tick, before sites step."""

    def measure(self, tick: int) -> None:
        """Send what there is to measure, after the grid has stepped."""

    def send(self, commands: Sequence[Command], dispatch: Callable[[Sequence[Command]], None]) -> list[Command]:
        """Take a controller's commands on their way; returns them with their real targets."""

    def close(self, tick: int, dispatch: Callable[[Sequence[Command]], None]) -> None:
        """Hand over what arrives within a tick, after the controllers that were due."""


@dataclass
class _Run:
    """What a started run holds: its log (where events go), an emitter per source, and power samples not yet taken."""

    log: SimulationLog[Any, Any] = field(default_factory=SimulationLog)
    emit: dict[str, EventEmitter] = field(default_factory=dict)
    samples: dict[DatacenterBackend[Any], list[ThreePhase]] = field(default_factory=dict)


class Coordinator(Generic[DCStateT, GridStateT]):
    """Runs datacenters, a grid and controllers for `total_duration_s` seconds on their common base tick (equation 1.2).

    The tick is the greatest common divisor of all periods. On a tick, what is due steps in this order: every
    datacenter, the grid with their latest power, the controllers in list order; a command acts at its target's
    next step. With `live=True`, ticks are paced to wall time, `speed` seconds a second. With `links`, controllers see
    and command through them.

    Raises `InputError` when built if a name is used twice, a controller does not fit a datacenter or the grid, a
    datacenter is not attached to the grid, or the duration is no multiple of the tick.
    """

    def __init__(
        self,
        *,
        datacenters: Sequence[DatacenterBackend[DCStateT]],
        grid: GridBackend[GridStateT],
        controllers: Sequence[Controller[Any, Any]] | None = None,
        total_duration_s: int | float | Fraction = 0,
        live: bool = False,
        speed: float = 1.0,
        links: CommandLinks | None = None,
    ) -> None:
        self.links = links
        self.datacenters = list(datacenters)
        self.grid = grid
        self.controllers: list[Controller[Any, Any]] = list(controllers or ())
        names = [dc.name for dc in self.datacenters]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"datacenter names must differ; used more than once: {twice}")
        for controller in self.controllers:
            controller.check_fits(self.datacenters, grid)
        attached = getattr(grid, "attached_datacenters", None)
        if attached is not None and (missing := [dc.name for dc in self.datacenters if dc not in attached]):
            raise InputError(f"attach every datacenter to the grid before the run (grid.attach_dc); missing: {missing}")
        periods = [as_period(component.dt_s, type(component).__name__) for component in self._components()]
        self.clock = SimulationClock(common_tick(periods), live=live, speed=speed)
        self.total_duration_s = Fraction(str(total_duration_s))
        n_ticks = self.total_duration_s / self.clock.tick_s
        if n_ticks < 0 or n_ticks.denominator != 1:
            raise InputError(
                f"total_duration_s={total_duration_s} is no multiple of the base tick of {self.clock.tick_s} s "
                f"(the greatest common divisor of all periods); choose e.g. {float(round(n_ticks) * self.clock.tick_s)}"
            )
        self._n_ticks = int(n_ticks)
        ticks_per = self.clock.ticks_per
        self._dc_ticks = [(dc, ticks_per(as_period(dc.dt_s, dc.name))) for dc in self.datacenters]
        self._grid_ticks = ticks_per(as_period(grid.dt_s, "grid"))
        self._controller_ticks = [(c, ticks_per(as_period(c.dt_s, type(c).__name__))) for c in self.controllers]
        self._warn_of_rates()
        self._run: _Run | None = None

    @property
    def timing(self) -> RunTiming:
        """The rates of this run."""
        site_ticks = tuple(ticks for _, ticks in self._dc_ticks)
        control_ticks = tuple(sorted({ticks for _, ticks in self._controller_ticks}))
        return RunTiming(self.clock.tick_s, self._n_ticks, self._grid_ticks, site_ticks, control_ticks)

    def _warn_of_rates(self) -> None:
        for dc in self.datacenters:
            if self.grid.dt_s < dc.dt_s:
                logger.info(
                    "grid steps (%s s) between steps of %r (%s s) reuse its last power",
                    self.grid.dt_s,
                    dc.name,
                    dc.dt_s,
                )
        for controller in self.controllers:
            if controller.dt_s < self.grid.dt_s:
                logger.info(
                    "%s (%s s) acts between grid steps (%s s) and sees the last voltages again",
                    type(controller).__name__,
                    controller.dt_s,
                    self.grid.dt_s,
                )

    def _components(self) -> list[Any]:
        return [*self.datacenters, self.grid, *self.controllers]

    # --- life cycle

    def reset(self) -> None:
        """Clear the clock and every component's simulation state."""
        self.clock.reset()
        for dc in self.datacenters:
            dc.do_reset()
        self.grid.do_reset()
        for controller in self.controllers:
            controller.reset()

    def start(self) -> None:
        """Let components acquire what they need; call before `step`. What was started is stopped if one fails."""
        with ExitStack() as undo:
            for component in self._components():
                undo.callback(component.stop)
                component.start()
            undo.pop_all()
        run = _Run()
        run.emit = {
            "datacenter": EventEmitter(self.clock, run.log, "datacenter"),
            "grid": EventEmitter(self.clock, run.log, "grid"),
            "controller": EventEmitter(self.clock, run.log, "controller"),
        }
        run.samples = {dc: [] for dc in self.datacenters}
        self._run = run
        if self.links is not None:
            self.links.prepare(self.timing)

    def stop(self) -> None:
        """Let components release what they hold, the last started first."""
        self._run = None
        # One that fails to stop does not keep the others from it.
        with ExitStack() as stack:
            for component in self._components():
                stack.callback(component.stop)

    def _started(self) -> _Run:
        if self._run is None:
            raise InputError("call start() before step(); or use run() or run_iter(), which do it themselves")
        return self._run

    # --- one tick

    def _tick(self, run: _Run) -> list[Command]:
        """Advance what is due and dispatch the commands; the clock stays."""
        clock, grid, tick = self.clock, self.grid, self.clock.step
        if self.links is not None:
            self.links.begin(tick, self.dispatch_commands)
        dcs = [dc for dc, ticks in self._dc_ticks if tick % ticks == 0]
        grid_due = tick % self._grid_ticks == 0
        dc_events = run.emit["datacenter"]
        for dc in dcs:
            dc.advance(clock, dc_events)
        if grid.reads_datacenters:
            if grid_due:
                grid.advance(clock, {}, run.emit["grid"])
        else:
            for dc in dcs:
                run.samples[dc].append(ThreePhase(*(float(p) for p in dc.latest_power_w)))
            if grid_due:
                grid.advance(clock, {dc: list(samples) for dc, samples in run.samples.items()}, run.emit["grid"])
                for samples in run.samples.values():
                    samples.clear()
        return self._control(run)

    def _tick_block(self, run: _Run, n_ticks: int, looking: Sequence[Controller[Any, Any]] = ()) -> list[Command]:
        """As up to `n_ticks` calls of `_tick`, of which only the last may have controllers due; the clock ends there.

        Besides, those that are `looking` see every tick, and end the block with the first at which one has commands.
        """
        times = self.clock.times_s(n_ticks)
        power_w = {dc: dc.advance_block(times[0], n_ticks) for dc in self.datacenters}
        for controller in looking:
            controller.begin_block(times)
        looks = [controller.look for controller in looking]
        # All of them look, also behind one that has commands.
        n_made = self.grid.advance_block(times, power_w, lambda place: sum([look(place) for look in looks]) > 0)
        for dc in self.datacenters:
            dc.take_back(n_ticks - n_made)
        self.clock.advance(n_made - 1)
        return self._control(run, looking)

    def _control(self, run: _Run, looking: Sequence[Controller[Any, Any]] = ()) -> list[Command]:
        """Let the controllers that are due act, of which some may have looked already, and dispatch their commands."""
        clock, tick = self.clock, self.clock.step
        sent: list[Command] = []
        if self.links is not None:
            self.links.measure(tick)
        for controller, ticks in self._controller_ticks:
            if tick % ticks == 0:
                act = controller.end_block if controller in looking else controller.step
                commands = act(clock, run.emit["controller"])
                if commands and self.links is not None:
                    sent.extend(self.links.send(commands, self.dispatch_commands))
                elif commands:
                    self.dispatch_commands(commands)
                    sent.extend(commands)
        if self.links is not None:
            self.links.close(tick, self.dispatch_commands)
        return sent

    def step(self) -> TickOutput[DCStateT, GridStateT]:
        """Advance one base tick and return what it made; `start` must have been called."""
        run = self._started()
        clock = self.clock
        grid_due = clock.step % self._grid_ticks == 0
        commands = self._tick(run)
        events = run.log.events.copy()
        run.log.events.clear()
        states = {
            dc.name: state
            for dc, ticks in self._dc_ticks
            if clock.step % ticks == 0 and (state := dc.state) is not None
        }
        output = TickOutput(clock.time_s, states, self.grid.state if grid_due else None, commands, events)
        clock.advance()
        return output

    def dispatch_commands(self, commands: Iterable[Command]) -> None:
        """Hand commands to their targets; an external driver may call it between steps."""
        run = self._started()
        for command in commands:
            if isinstance(command, DatacenterCommand):
                self._target(command).apply_control(command, run.emit["datacenter"])
            elif isinstance(command, GridCommand):
                self.grid.apply_control(command, run.emit["grid"])
            else:
                raise InputError(
                    f"{type(command).__name__} is no command; derive it from DatacenterCommand or GridCommand"
                )

    def _target(self, command: DatacenterCommand) -> DatacenterBackend[Any]:
        """The site a command is for; a command that names none can only mean the only site."""
        target: DatacenterBackend[Any] | None = getattr(command, "target", None)
        if target is None and len(self.datacenters) == 1:
            return self.datacenters[0]
        if target is None or target not in self.datacenters:
            names = [dc.name for dc in self.datacenters]
            what = "names no target" if target is None else f"is for {target.name!r}, which is not in this run"
            raise InputError(f"{type(command).__name__} {what}; give it target= one of the sites {names}")
        return target

    # --- whole runs

    def run_iter(self) -> Iterator[TickOutput[DCStateT, GridStateT]]:
        """Reset, start, and yield every tick; components are stopped even if the caller leaves early."""
        self._prepare()
        try:
            for _ in range(self._n_ticks):
                yield self.step()
        finally:
            self.stop()

    def run(self, progress: Callable[[int, int], None] | None = None) -> SimulationLog[DCStateT, GridStateT]:
        """Run to the end and return the log; same results as `run_iter`, without an object per tick.

        `progress(ticks_done, ticks_all)` is called about a hundred times. A `PowerFlowError` ends the run.
        """
        run = self._prepare()
        clock = self.clock
        log: SimulationLog[DCStateT, GridStateT] = run.log
        times: list[float] = []
        reported = 0
        blocks = self._runs_in_blocks()
        try:
            while clock.step < self._n_ticks:
                first, (n_ticks, looking) = clock.step, self._next_block() if blocks else (1, ())
                ahead = clock.times_s(n_ticks)
                commands = self._tick_block(run, n_ticks, looking) if n_ticks > 1 else self._tick(run)
                times += ahead[: clock.step - first + 1]
                if commands:
                    log.commands.extend(commands)
                    log.command_time_s.extend([clock.time_s] * len(commands))
                clock.advance()
                if progress is not None and 100 * (clock.step - reported) >= self._n_ticks:
                    reported = clock.step
                    progress(clock.step, self._n_ticks)
            log.time_s = times
            log.dc_states_by_site = {dc.name: dc.recorded_states() for dc in self.datacenters}
            log.grid_states = self.grid.recorded_states()
        finally:
            self.stop()
        return log

    def _runs_in_blocks(self) -> bool:
        """True if nothing but the controllers' rates divides the run: datacenters and grid all step at every tick."""
        every_tick = self._grid_ticks == 1 and all(ticks == 1 for _, ticks in self._dc_ticks)
        able = self.grid.advances_in_blocks and all(dc.advances_in_blocks for dc in self.datacenters)
        return every_tick and able and not self.clock.live and self.links is None

    def _next_block(self) -> tuple[int, Sequence[Controller[Any, Any]]]:
        """Ticks from the present one to the next at which a controller is due, both counted; or where those that are
        due at every tick can look at a block, which these are, and ticks that have nobody else due.
        """
        tick, every = self.clock.step, [c for c, ticks in self._controller_ticks if ticks == 1]
        most = min(_BLOCK_TICKS_MAX, self._n_ticks - tick)
        waits = [(-tick) % ticks for _, ticks in self._controller_ticks if ticks > 1]
        if not every:
            return min([most, *(wait + 1 for wait in waits)]), ()
        n_ticks = min([most, *waits, *(controller.looks_ahead for controller in every)])
        return (min([n_ticks, *(dc.steps_ahead for dc in self.datacenters)]), every) if n_ticks > 1 else (1, ())

    def _prepare(self) -> _Run:
        self.reset()
        expect = getattr(self.grid, "expect_steps", None)
        if expect is not None:
            expect(-(-self._n_ticks // self._grid_ticks))
        self.start()
        return self._started()
