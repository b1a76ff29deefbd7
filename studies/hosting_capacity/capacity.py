"""What a search for capacity found: the sizes judged, the largest kept, and what stopped the next one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from g2g_opt.errors import PowerFlowError, number_of
from g2g_opt.judge import LimitCheck
from g2g_opt.limits import Limits
from g2g_opt.outcome import Outcome
from g2g_opt.site import GPUS_PER_SERVER
from g2g_opt.summary import Summary
from solvers.exact_binomial import lower_bound
from solvers.largest_feasible import gaps_below
from studies.shared.tap_range import Taps
from studies.shared.tap_search import TapTrial

Operation = Literal["firm", "flexible"]
# What the flexible answer is the best in, among the sizes that keep the limits.
Objective = Literal["tokens", "mw", "gpus"]


def buses_of(place: str, n_sites: int) -> tuple[str, ...]:
    """The buses of a place with so many sites (see `Aim.place`); the name of a single bus may have a + of its own."""
    return (place,) if n_sites == 1 else tuple(place.split("+"))


@dataclass(frozen=True)
class Aim:
    """What one search looks for: the largest site, or set of sites, at `buses` under an operation and a token floor.

    `first_n_servers` fixes the size of the first site; the search is then for the second one. None searches the total.
    """

    buses: tuple[str, ...]
    operation: Operation
    throughput_share_min: float
    first_n_servers: int | None = None

    @property
    def place(self) -> str:
        """The buses in one word: "671", or "671+675" for a set."""
        return "+".join(self.buses)

    def limits(self, limits: Limits) -> Limits:
        """Limits with the token floor of this search."""
        return replace(limits, throughput_share_min=self.throughput_share_min)


@dataclass(frozen=True)
class JudgedSize:
    """One size that was simulated: kept or not, under which taps, and its outcome (of the best tap round).

    `n_servers` is the size searched for, `n_servers_by_site` what that means for each site. With a scenario set the
    outcome is that of the scenario that binds; `n_scenarios` were run and `n_failed` of them missed a limit. Mean power
    and tokens are those of `own_run`, where that is another one, and the peak is that of all `range_runs` together.
    """

    n_servers: int
    kept: bool
    taps: Taps
    rounds: int
    outcome: Outcome
    n_servers_by_site: tuple[int, ...] = ()
    n_scenarios: int = 1
    n_failed: int = 0
    own_run: Outcome | None = None
    range_runs: tuple[Outcome, ...] = ()

    @staticmethod
    def of_trials(
        n_servers: int, by_site: tuple[int, ...], trials: Sequence[TapTrial], own_run_first: bool = False
    ) -> JudgedSize:
        """A size by its best tap round, the last of `trials`; `own_run_first`: of its runs the first is the study's."""
        best = trials[-1]
        return JudgedSize(
            n_servers=n_servers,
            kept=best.kept,
            taps=best.taps,
            rounds=len(trials),
            outcome=best.binding,
            n_servers_by_site=by_site,
            n_scenarios=len(best.runs),
            n_failed=best.n_failed,
            own_run=best.runs[0] if own_run_first else None,
            range_runs=tuple(best.runs) if own_run_first else (),
        )

    @property
    def n_gpus(self) -> int:
        """GPUs of all its sites."""
        return GPUS_PER_SERVER * sum(self.n_servers_by_site)

    def value(self, objective: Objective) -> tuple[float, int]:
        """What the size is worth: tokens served per second, peak power (MW) or servers; of equal ones the larger."""
        if objective == "gpus":
            return float(self.n_servers), self.n_servers
        return self.summary.throughput_tps if objective == "tokens" else self.most_drawn.power_peak_mw, self.n_servers

    @property
    def summary(self) -> Summary:
        """The record of its run; one that failed has no figures for an answer, and a size that was kept did not."""
        run = self.shown
        if run.failure is not None:
            raise PowerFlowError(run.failure.of_run(f"{number_of(self.n_servers, 'server')}"))
        return run.summary

    @property
    def most_drawn(self) -> Summary:
        """The record of the run in which its sites together draw most: of all runs of a range, where there is one."""
        answered = [run.summary for run in self.range_runs if run.failure is None]
        return max(answered, key=lambda summary: summary.power_peak_mw, default=self.summary)

    @property
    def fleet_peak_mw(self) -> float:
        """The most that its fleets would draw together without a controller in any of these runs (MW)."""
        answered = [run.summary.uncontrolled_peak_mw for run in self.range_runs if run.failure is None]
        return max(answered, default=self.summary.uncontrolled_peak_mw)

    @property
    def shown(self) -> Outcome:
        """The run whose figures are shown."""
        return self.own_run or self.outcome


@dataclass(frozen=True)
class ScenarioCertificate:
    """The answer in scenarios that the search never saw: `n_kept` of `n` kept every limit.

    `share_lower_bound` is the exact lower bound, at the study's confidence, of the share of scenarios that are kept;
    `binding` names the scenario closest to a limit, `attempt` counts the sizes that were tried.
    """

    n: int
    n_kept: int
    share_lower_bound: float
    binding: str
    attempt: int

    @staticmethod
    def of(trial: TapTrial, confidence: float, attempt: int) -> ScenarioCertificate:
        """What a trial in scenarios that nobody has seen shows."""
        n, n_kept = len(trial.runs), len(trial.runs) - trial.n_failed
        return ScenarioCertificate(n, n_kept, lower_bound(n_kept, n, confidence), trial.binding.scenario, attempt)


@dataclass(frozen=True)
class Capacity:
    """The answer for one aim: the largest size kept, and what stopped the next one.

    `largest` is the accepted size that is worth most by the study's objective, which is the largest of a firm search;
    None if not even the smallest site was accepted. `stopped_by` is the limit that the smallest rejected
    size breaks most, or that its run failed, and None if no larger size was refused: `search_end` then says why the
    search went no further, where it is known. `rejected_below` are sizes (servers) below the answer that were
    rejected: feasibility has a gap there, and `below_gap` is the largest size kept before the first. `n_rejected` is
    the smallest rejected size above the answer, `base_breaks` what of its broken limits the circuit breaks without any
    site. `note` says what else a reader has to know. `confirmed` is its run on OpenDSS, `confirmed_peak_mw` the most
    drawn in all runs there (MW), where a range of utilisation has several.
    """

    aim: Aim
    largest: JudgedSize | None
    stopped_by: LimitCheck | None
    rejected_below: tuple[int, ...]
    n_rejected: int | None
    judged: tuple[JudgedSize, ...] = field(default_factory=tuple)
    note: str = ""
    confirmed: Outcome | None = None
    confirmed_peak_mw: float | None = None
    certificate: ScenarioCertificate | None = None
    search_end: str = ""
    base_breaks: tuple[LimitCheck, ...] = ()
    below_gap: JudgedSize | None = None

    @property
    def bus(self) -> str:
        """Its bus, or buses joined by "+"."""
        return self.aim.place

    @property
    def gaps(self) -> tuple[tuple[int, int], ...]:
        """Rejected sizes (servers) below the answer, from which to which, where accepted ones lie between them."""
        # An answer that is the firm one's, with the controller left off, has that one's refused sizes.
        refused = set(self.rejected_below)
        return gaps_below({size.n_servers: size.n_servers not in refused for size in self.judged}, self.n_servers)

    @property
    def operation(self) -> Operation:
        """Firm or flexible."""
        return self.aim.operation

    @property
    def n_servers(self) -> int:
        """The largest size kept; 0 if there is none."""
        return self.largest.n_servers if self.largest is not None else 0


def capacity_of(
    aim: Aim,
    judged: Sequence[JudgedSize],
    largest: JudgedSize | None,
    notes: Sequence[str] = (),
    confirmed: Outcome | None = None,
    certificate: ScenarioCertificate | None = None,
    search_end: str = "",
    confirmed_peak_mw: float | None = None,
) -> Capacity:
    """The answer from all sizes judged, once it is known which of them is the largest.

    `search_end` says that the search could go no further than the answer, if that is so.
    """
    n = largest.n_servers if largest is not None else 0
    above = min((j for j in judged if not j.kept and j.n_servers > n), key=lambda j: j.n_servers, default=None)
    refused = sorted(j.n_servers for j in judged if not j.kept and j.n_servers < n)
    before = [j for j in judged if j.kept and j.n_servers < min(refused, default=0)]
    return Capacity(
        aim=aim,
        largest=largest,
        stopped_by=above.outcome.verdict.binding if above is not None else None,
        rejected_below=tuple(refused),
        n_rejected=above.n_servers if above is not None else None,
        judged=tuple(sorted(judged, key=lambda j: j.n_servers)),
        note="; ".join(note for note in notes if note),
        confirmed=confirmed,
        confirmed_peak_mw=confirmed_peak_mw,
        certificate=certificate,
        search_end=search_end if above is None else "",
        base_breaks=tuple(c for c in above.outcome.verdict.broken if c.base_breaks) if above is not None else (),
        below_gap=max(before, key=lambda j: j.n_servers, default=None),
    )


# An objective in words.
_MEASURE = {"tokens": "tokens", "mw": "MW", "gpus": "GPUs"}


def best_note(best: JudgedSize, largest: JudgedSize, objective: Objective) -> str:
    """Why an answer is not the largest size that keeps the limits."""
    figures = largest.summary
    return (
        f"the size with the most {_MEASURE[objective]}; up to {largest.n_gpus} GPUs keep the limits, at "
        f"{largest.most_drawn.power_peak_mw:.2f} MW and {figures.throughput_tps / 1e3:,.0f} thousand tokens/s"
    )


def best_of(firm: Capacity, flexible: Capacity, objective: Objective = "gpus") -> Capacity:
    """The flexible answer: the controller can always be left off, so it is worth no less than the firm one."""
    if firm.largest is None:
        return flexible
    if flexible.largest is not None and firm.largest.value(objective) <= flexible.largest.value(objective):
        return flexible
    less = f"{flexible.n_servers * GPUS_PER_SERVER} GPUs" if objective == "gpus" else f"fewer {_MEASURE[objective]}"
    note = f"with the controller on only {less}: it is better left off here"
    return replace(
        flexible,
        largest=firm.largest,
        stopped_by=firm.stopped_by,
        rejected_below=firm.rejected_below,
        n_rejected=firm.n_rejected,
        note=note,
        confirmed=firm.confirmed,
        confirmed_peak_mw=firm.confirmed_peak_mw,
        certificate=firm.certificate,
        search_end=firm.search_end,
        base_breaks=firm.base_breaks,
        below_gap=firm.below_gap,
    )


def most_drawn_mw(runs: Sequence[Outcome]) -> float | None:
    """The highest peak of several runs (MW); None if none has an answer."""
    return max((run.summary.power_peak_mw for run in runs if run.failure is None), default=None)
