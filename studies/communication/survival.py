"""How large a site can be over a link, and what runs of one size come to: searches and runs that share batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from g2g_opt.assembly import assemble
from g2g_opt.channel.lanes import run_tables
from g2g_opt.coordinator import RunTiming
from g2g_opt.errors import number_of
from g2g_opt.feeder import Feeder
from g2g_opt.outcome import Outcome
from g2g_opt.simulation import simulate_runs
from g2g_opt.site import GPUS_PER_SERVER
from solvers.largest_feasible import held_up_to, search_largest_feasible
from studies.communication.links import LinkState
from studies.communication.question import CommunicationQuestion
from studies.communication.rows import LinkRunRow, SurvivingRow, link_columns
from studies.shared.side_by_side import RunRequest, Wanted, judged_by, run_side_by_side
from studies.shared.workload import SizeRange

# Share of an answer within which a search stops.
RESOLUTION = 0.005
SIZES_AT_ONCE = 2
# Growth from a size that says nothing, and around one that is a good guess.
_GROWTH, _GROWTH_AROUND_GUESS = 1.6, 1.15
# Multiples of an answer that are looked at above it: regulators and controllers make gaps.
_TRY_ABOVE = (1.03, 1.08, 1.15, 1.3)
# Sizes looked at below an answer, whether they hold too.
_SIZES_BELOW = 8

# One search: over which link (None: firm), in which draw, and where to begin (servers), if something is known.
Wish = tuple[LinkState | None, int, int | None]


class Survival:
    """Searches and runs at one bus."""

    def __init__(self, question: CommunicationQuestion, bus: str, report: Callable[[str], None]) -> None:
        self._question, self._bus, self._report = question, bus, report
        self._feeder: Feeder = question.load_feeder()
        self._models = question.load_models()
        self._sizes = SizeRange.of(self._models, question.base_kw_per_gpu, question.power_max_mw)
        self._timing = self._read_timing()

    def _read_timing(self) -> RunTiming:
        question = self._question
        plan = question.plan(self._models, self._bus, self._sizes.smallest, question.perfect)
        run = assemble(plan, question.draw(0), self._feeder, question.limits, trace_dir=Path(question.trace_dir))
        return run.coordinator.timing

    def ages_s(self, link: LinkState, draw: int) -> tuple[float, float]:
        """Mean ages (s) of voltages as controllers know them, and of commands as the site knows them."""
        scenario = self._question.draw(draw)
        tables = run_tables(self._question.channels_of(link), scenario.seed, scenario.name, ("site",), self._timing)
        commands = tables.to_sites[0]
        ticks = np.arange(self._timing.n_ticks)
        # A command that is there at the tick it is sent at is as old as that; before the first, the run itself is.
        held = np.where(commands.at_once, ticks, np.maximum(commands.tick, 0))
        return float(tables.voltage.age_s.mean()), float((ticks - held).mean() * self._timing.tick_s)

    # --- capacities

    def capacities(self, wishes: Sequence[Wish]) -> list[SurvivingRow]:
        """The largest site of every wish; all share their batches."""
        return run_side_by_side(self._question, self._feeder, [self._search(*wish) for wish in wishes])

    def _search(self, link: LinkState | None, draw: int, guess: int | None) -> Wanted[SurvivingRow]:
        sizes, question = self._sizes, self._question
        words = "firm" if link is None else link.words
        scenario = question.draw(draw)
        judged: dict[int, Outcome] = {}
        search = search_largest_feasible(
            sizes.largest,
            n_min=sizes.smallest,
            start=sizes.first if guess is None else max(sizes.smallest, guess),
            resolution=RESOLUTION,
            growth=_GROWTH if guess is None else _GROWTH_AROUND_GUESS,
            try_above=_TRY_ABOVE,
            at_once=SIZES_AT_ONCE,
            shrink=guess is not None,
            below=_SIZES_BELOW,
        )

        def judge(asked: Sequence[int]) -> Wanted[dict[int, bool]]:
            runs = yield tuple(
                RunRequest(question.plan(self._models, self._bus, n, link), scenario=scenario) for n in asked
            )
            judged.update(zip(asked, runs, strict=True))
            self._report(f"bus {self._bus}, draw {draw + 1}, {words}: {number_of(len(judged), 'size')} judged")
            return {n: judged[n].kept for n in asked}

        found = yield from judged_by(search, judge)
        notes: list[str] = []
        answer: int = 0
        confirmed: Outcome | None = None
        # What OpenDSS refuses gives way to the next smaller size.
        for n in sorted((n for n, run in judged.items() if run.kept and n <= found.n), reverse=True):
            plan = question.plan(self._models, self._bus, n, link)
            (run,) = yield (RunRequest(plan, "opendss", scenario),)
            if run.kept:
                answer, confirmed = n, run
                break
            notes.append(f"{GPUS_PER_SERVER * n} GPUs were refused by OpenDSS: {', '.join(run.reasons)}")
        self._report(f"bus {self._bus}, draw {draw + 1}, {words}: {GPUS_PER_SERVER * answer} GPUs")
        return self._row(link, draw, judged, answer, confirmed, notes)

    def _row(
        self,
        link: LinkState | None,
        draw: int,
        judged: dict[int, Outcome],
        n: int,
        confirmed: Outcome | None,
        notes: Sequence[str],
    ) -> SurvivingRow:
        held = held_up_to({m: run.kept for m, run in judged.items()}, n)
        above = min((m for m, run in judged.items() if m > n and not run.kept), default=None)
        stopped = judged[above].verdict.binding if above is not None else None
        shown = link if link is not None else LinkState()
        ages = self.ages_s(shown, draw) if link is not None else (0.0, 0.0)
        summary = judged[n].summary if n else None
        return SurvivingRow(
            **link_columns(self._bus, shown, draw),
            operation="firm" if link is None else "flexible",
            n_servers=n,
            n_gpus=GPUS_PER_SERVER * n,
            fleet_mw=sum(site.uncontrolled_peak_mw for site in summary.sites) if summary is not None else 0.0,
            power_peak_mw=summary.power_peak_mw if summary is not None else 0.0,
            power_mean_mw=summary.power_mean_mw if summary is not None else 0.0,
            throughput_tps=summary.throughput_tps if summary is not None else 0.0,
            throughput_share=summary.throughput_share if summary is not None else None,
            opendss_peak_mw=confirmed.summary.power_peak_mw if confirmed is not None else None,
            limit=stopped.in_words() if stopped is not None else "",
            sizes_judged=len(judged),
            n_refused_below=sum(not run.kept for m, run in judged.items() if m < n),
            held_up_to_mw=judged[held].summary.power_peak_mw if held else 0.0,
            note="; ".join(notes),
            voltage_age_s=ages[0],
            command_age_s=ages[1],
        )

    # --- runs of one size

    def runs(self, wanted: Sequence[tuple[LinkState, int, int]]) -> list[LinkRunRow]:
        """Runs of (link, draw, servers), in lockstep."""
        question = self._question
        asked = [(question.plan(self._models, self._bus, n, link), question.draw(draw)) for link, draw, n in wanted]
        done = simulate_runs(
            asked,
            self._feeder,
            question.limits,
            trace_dir=Path(question.trace_dir),
            progress=lambda done, n: self._report(f"bus {self._bus}: {done:.0f} of {number_of(n, 'run')}"),
        )
        return [self._run_row(*wish, run) for wish, run in zip(wanted, done, strict=True)]

    def _run_row(self, link: LinkState, draw: int, n: int, run: Outcome) -> LinkRunRow:
        good = run.failure is None
        ages = self.ages_s(link, draw)
        return LinkRunRow(
            **link_columns(self._bus, link, draw),
            n_servers=n,
            kept=run.kept,
            integral_violation_pu_s=run.voltage.integral_violation_pu_s if good else None,
            outside_s=run.voltage.violation_time_s if good else None,
            throughput_share=run.summary.throughput_share if good else None,
            throughput_tps=run.summary.throughput_tps if good else None,
            latency_miss_share=run.summary.latency_miss_share if good else None,
            batch_switches=run.summary.batch_switches if good else None,
            voltage_age_s=ages[0],
            command_age_s=ages[1],
            failure="" if good else str(run.failure),
        )
