"""What lives by a limited load profile: the profile itself, the firm fleet, and the flexible one that lowers its batch
sizes to fit. Each is run through the whole year on OpenDSS and made smaller until it holds.

A smaller batch size draws less, so a larger fleet fits where it runs at a smaller one. Power and tokens at every batch
size come from replays of the fleet; the flexible fleet is the one that serves most tokens a year, and never fewer than
the firm one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from g2g_opt.feeder import Feeder
from g2g_opt.hourly_profile import load_profile
from g2g_opt.plan import Plan
from g2g_opt.uncontrolled import replay_uncontrolled
from studies.load_profile.cells import Cell
from studies.load_profile.question import LoadProfileQuestion
from studies.load_profile.rows import FleetCellRow, FleetRow, YearRun
from studies.load_profile.year import ProfileCalendar, Year
from studies.shared.task import Tables
from studies.shared.typed_rows import to_rows
from studies.shared.workload import Models

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUNDS_MAX = 40
# What is taken off where limits are passed: at least this share, and this much more per unit they are passed by.
_LESS, _LESS_PER_UNIT = 0.004, 6.0
# Servers per model at which power and tokens are replayed, and sizes of a flexible fleet that are compared.
_REPLAYED = 200
_SIZES = 400


@dataclass(frozen=True, eq=False)
class Held:
    """Something that keeps the limits through the year (`year`), after so many rounds; None where none was found.

    `n_servers` and `batch_cap` (cell,) are a fleet's; `scale` (cell,) what was taken off the cells' power.
    """

    name: str
    year: Year | None
    rounds: int
    n_servers: int = 0
    batch_cap: Ints | None = None
    scale: Floats | None = None
    note: str = ""


def batch_caps(models: Models) -> tuple[int, ...]:
    """Caps on batch sizes that make a difference, rising, the nominal one last."""
    nominal = max(batch for _, batch in models)
    return tuple(sorted({size for spec, _ in models for size in spec.feasible_batch_sizes if size <= nominal}))


def _smaller(over: Floats) -> Floats:
    """Factor on what passes its limits by `over`; 1 where it does not."""
    return np.where(over > 0.0, 1.0 - np.minimum(0.5, _LESS + _LESS_PER_UNIT * over), 1.0)


class YearFleets:
    """The fleets of one bus; `n_allowed` servers and `allowed_mw` are what the search of every cell found."""

    def __init__(
        self,
        study: LoadProfileQuestion,
        feeder: Feeder,
        bus: str,
        cells: Sequence[Cell],
        n_allowed: Sequence[int],
        allowed_mw: Sequence[float],
        report: Callable[[str], None],
    ) -> None:
        self._study, self._bus, self._report = study, bus, report
        self._models = study.load_models()
        self._n_allowed, self._allowed_mw = np.array(n_allowed), np.array(allowed_mw)
        self.calendar = ProfileCalendar(study, feeder, cells)
        self.caps = batch_caps(self._models)
        self._read_fleet()

    def _read_fleet(self) -> None:
        """Power (MW) and tokens per server and cap, and what a server draws with nothing active."""
        n = _REPLAYED * len(self._models)
        site = self._study.plan(self._models, self._bus, n).sites[0]
        scenario = self._study.cell_scenario(self.calendar.cells[0])
        trace_dir = Path(self._study.trace_dir)
        replays = [replay_uncontrolled(site.capped(cap), scenario, trace_dir) for cap in self.caps]
        self._mw = np.array([replay.power_peak_mw / n for replay in replays])
        self._tokens = np.array([replay.throughput_tps / n for replay in replays])
        self._base_mw = self._study.base_kw_per_gpu * site.n_gpus / n / 1e3

    # --- the profile itself

    def follow_profile(self, n_servers: int | None = None) -> Held:
        """A site that draws what every cell allows, with replicas switched on and off by the hour.

        It has as many servers as the cell that allows most, or `n_servers`.
        """
        if (self._n_allowed <= 0).any():
            return Held("profile", None, 0, note="some hours take no site at all")
        n_servers = int(self._n_allowed.max()) if n_servers is None else n_servers
        plan = self._study.plan(self._models, self._bus, n_servers)
        base, most, largest = self._base_mw * n_servers, self._mw[-1] * n_servers, self._study.largest_share
        scale = np.ones(len(self._allowed_mw))
        for rounds in range(1, ROUNDS_MAX + 1):
            # An hour that allows less than the site's base load is tried with that alone.
            share = np.clip((scale * self._allowed_mw - base) / (most - base), 0.0, 1.0) * largest
            year = self.calendar.run(plan, self.calendar.scenario(share))
            if year.holds:
                note = self._breaks_below(plan, share)
                return Held("profile", None if note else year, rounds, scale=None if note else scale, note=note)
            over = self.calendar.worst_by_cell(year.over)
            if (share[over > 0.0] <= 0.0).all():
                note = f"its base load alone, {base:.2f} MW with no replica active, {self._broken_in(year)}"
                return Held("profile", None, rounds, note=note)
            scale = scale * _smaller(over)
            self._tell("profile", year)
        return self._stopped("profile")

    def _broken_in(self, year: Year) -> str:
        """What a year that does not hold breaks, and in how many hours."""
        moment, verdict = load_profile(self._study.profile).moment_at, year.run.verdict
        if year.steps is None or verdict.binding is None:
            return f"has no answer: {'; '.join(verdict.reasons(moment))}"
        n_over, place = int((year.over > 0.0).sum()), verdict.binding.place(moment)
        return f"breaks {verdict.binding.name} in {n_over} of {len(year.over)} hours ({place})"

    def _breaks_below(self, plan: Plan, share: Floats | None = None) -> str:
        """What breaks where a site that holds draws less than it may, in words; "" if nothing does.

        It may have `share` (cell,) of its replicas active, or the largest. The hour's MW bound what is drawn, and leave
        a site free to draw less: nothing is mended here.
        """
        lower = self._study.lower_shares
        may = np.full(len(self._allowed_mw), self._study.largest_share) if share is None else share
        scenarios = [self.calendar.scenario(np.minimum(may, most)) for most in lower]
        for most, scenario, holds in zip(lower, scenarios, self.calendar.hold(plan, scenarios), strict=True):
            if holds:
                continue
            year = self.calendar.run(plan, scenario)
            if not year.holds:
                where = f"where no more than {most:g} of its replicas are active"
                return f"{where}, which the MW of its hours leave free, the site {self._broken_in(year)}"
        return ""

    # --- fleets

    def firm(self, scale: Floats) -> Held:
        """The largest fleet at its nominal batch sizes that every hour takes."""
        n_servers = int(
            self._n_allowed[(scale * self._allowed_mw).argmin()] * scale[(scale * self._allowed_mw).argmin()]
        )
        for rounds in range(1, ROUNDS_MAX + 1):
            if n_servers < 1:
                return Held("firm", None, rounds, note="not even the smallest site keeps the limits in every hour")
            year = self.calendar.run(self._study.plan(self._models, self._bus, n_servers), self.calendar.scenario())
            if year.holds:
                caps = np.full(len(self._allowed_mw), self.caps[-1])
                note = self._breaks_below(year.plan)
                return Held("firm", None if note else year, rounds, n_servers, caps, note=note)
            n_servers = int(n_servers * float(_smaller(year.over.max(keepdims=True))[0]))
            self._tell("firm", year)
        return self._stopped("firm")

    def flexible(self, firm: Held, scale: Floats) -> Held:
        """The fleet that serves most tokens; the firm one where none serves more."""
        allowed, floor = scale * self._allowed_mw, self._study.limits.throughput_share_min
        for rounds in range(1, ROUNDS_MAX + 1):
            chosen = self._most_tokens(allowed, floor, firm.n_servers)
            if chosen is None:
                return Held("flexible", firm.year, rounds, firm.n_servers, firm.batch_cap, note=_NO_GAIN)
            n_servers, caps = chosen
            plan = self.calendar.capped_plan(self._study.plan(self._models, self._bus, n_servers), caps)
            year = self.calendar.run(plan, self.calendar.scenario())
            if year.holds:
                if _tokens(year) <= _tokens(firm.year):
                    return Held("flexible", firm.year, rounds, firm.n_servers, firm.batch_cap, note=_NO_GAIN)
                note = self._breaks_below(plan)
                return Held("flexible", None if note else year, rounds, n_servers, caps, note=note)
            allowed = allowed * _smaller(self.calendar.worst_by_cell(year.over))
            self._tell("flexible", year)
        return self._stopped("flexible")

    def _most_tokens(self, allowed_mw: Floats, floor: float, n_firm: int) -> tuple[int, Ints] | None:
        """Servers and cap per cell with the most tokens; None if nothing larger than `n_firm` serves more than it."""
        days = np.array([cell.n_days for cell in self.calendar.cells], dtype=np.float64)
        best, best_tokens = None, n_firm * self._tokens[-1] * days.sum()
        largest = int(allowed_mw.min() / self._mw.min())
        for n in np.unique(np.linspace(n_firm + 1, max(n_firm + 1, largest), _SIZES).astype(np.int64)):
            fits = n * self._mw[:, None] <= allowed_mw
            if not fits.any(axis=0).all():
                break
            # The largest cap that fits.
            place = len(self.caps) - 1 - fits[::-1].argmax(axis=0)
            tokens = float(self._tokens[place] @ days)
            if tokens < floor * self._tokens[-1] * days.sum():
                break
            if n * tokens > best_tokens:
                best, best_tokens = (int(n), np.array(self.caps)[place]), n * tokens
        return best

    # --- words

    def _tell(self, name: str, year: Year) -> None:
        n_over = int((year.over > 0.0).sum())
        words = f"{n_over} of {len(year.over)} hours pass limits" if year.steps is not None else "the run failed"
        self._report(f"bus {self._bus}, {name} through the year: {words}")

    def _stopped(self, name: str) -> Held:
        return Held(name, None, ROUNDS_MAX, note=f"the search stopped after {ROUNDS_MAX} rounds without one that holds")

    # --- rows

    def tables(self, profile: Held, fleets: Sequence[Held]) -> Tables:
        """Tables "profile" and "fleet_cells" (a row per cell), "fleets", and "years" (the runs that held)."""
        held = {one.name: one.year for one in (profile, *fleets) if one.year is not None}
        years = [
            YearRun.of(year.plan, year.scenario, year.run, bus=self._bus, operation=name) for name, year in held.items()
        ]
        return {
            "profile": to_rows(self._cell_rows(profile)),
            # Of a profile that was not found only why.
            "fleets": to_rows(
                [self._fleet_row(fleet, fleets[0]) for fleet in fleets]
                + ([FleetRow(self._bus, profile.name, profile.rounds, profile.note)] if profile.year is None else [])
            ),
            "fleet_cells": to_rows([row for fleet in fleets for row in self._cell_rows(fleet)]),
            "years": to_rows(years),
        }

    def _cell_rows(self, held: Held) -> list[FleetCellRow]:
        steps = held.year.steps if held.year is not None else None
        if steps is None:
            return []
        calendar = self.calendar
        power, highest = calendar.by_cell(steps.power_mw), calendar.worst_by_cell(steps.highest_pu)
        lowest, loading = -calendar.worst_by_cell(-steps.lowest_pu), calendar.worst_by_cell(steps.loading_pu)
        caps = held.batch_cap
        return [
            FleetCellRow(
                *(self._bus, cell.month, cell.hour, cell.n_days),
                operation=held.name,
                power_mw=float(power[k]),
                lowest_pu=float(lowest[k]),
                highest_pu=float(highest[k]),
                loading_pu=float(loading[k]),
                batch_cap=int(caps[k]) if caps is not None else None,
            )
            for k, cell in enumerate(calendar.cells)
        ]

    def _fleet_row(self, held: Held, firm: Held) -> FleetRow:
        row = FleetRow(self._bus, held.name, held.rounds, held.note)
        year = held.year
        if year is None or year.steps is None or held.batch_cap is None:
            return row
        curtailed = held.batch_cap[self.calendar.cell_of_hour] < self.caps[-1]
        of_firm = _tokens(year) / _tokens(firm.year) if firm.year is not None else None
        return replace(
            row,
            n_servers=held.n_servers,
            n_gpus=self._study.plan(self._models, self._bus, held.n_servers).sites[0].n_gpus,
            power_mw=float(self.calendar.by_cell(year.steps.power_mw).min()),
            power_peak_mw=float(year.steps.power_mw.max()),
            energy_mwh=float(year.steps.power_mw.sum()),
            throughput_tps=_tokens(year),
            # The firm fleet is at its nominal batch sizes all year, so it says what a server serves there.
            throughput_share=of_firm * firm.n_servers / held.n_servers if of_firm is not None else None,
            tokens_of_firm=of_firm,
            curtailed_hours=int(curtailed.sum()),
        )


_NO_GAIN = "no larger fleet serves more tokens within the profile: flexible operation is better left off here"


def _tokens(year: Year | None) -> float:
    return year.run.summary.throughput_tps if year is not None and year.run.failure is None else 0.0
