"""How regulators act under a plan: set-points of their own controls, found by simulating hours of the year.

All regulators hold so many volts more or less within a wider band, with line-drop compensation or without it; from the
best of these on each bank by itself is moved in volts, band and compensation by ever smaller steps, and then each
regulator, in volts and compensation, where phases that are set unlike save enough. What breaks limits
least is better, then what costs least in tap steps, losses and violations. The search looks at some days of every other
week, its best at more of those near to a limit, and then at all hours of the year; days on which they break a limit
join the search until one holds. The weeks between never count in its money: they tell what a choice is worth that did
not look at them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from g2g_opt.batch.chains import SetPoint, SetPoints
from solvers.siting.problem import SitingPlan
from studies.pv_datacenter_siting.case import SitingCase
from studies.pv_datacenter_siting.compared_days import (
    N_HARDEST,
    Begins,
    ComparedDays,
    OperationWorth,
    ends_of,
    worth_of,
    year_guessed,
)
from studies.pv_datacenter_siting.days import is_chosen_by
from studies.pv_datacenter_siting.operated_chains import operation_of

# Volts by which all set-points are moved at first, on the control's side, and bands that are tried.
_SHIFTS_V = (0.0, -2.0, -4.0, 2.0)
_BANDS_V = (4.0, 8.0)
# Volts by which voltage and band of a bank are moved from the best so far, and shares of its own compensation; and how
# often all banks have a turn with these.
MOVES: tuple[tuple[float, float, int], ...] = ((2.0, 0.5, 4), (1.0, 0.25, 2), (0.5, 0.1, 1))
_BAND_MIN_V, _BAND_MAX_V = 1.0, 16.0
# The same for single regulators, whose bands stay; and the share of what is compared that they have to save against the
# phases of a bank set alike: less than that is not the same in the weeks that are held out.
_SINGLY: tuple[tuple[float, float, int], ...] = ((1.0, 0.25, 3), (0.5, 0.1, 2))
_WORTH_UNLIKE = 0.01
# How many of the search's best are looked at on more days, with which margin (pu) to the limits they are preferred, how
# many go through the year, how often days may join, and how many are looked at again.
_CHECKED, _MARGIN_PU, _FINALISTS, _TURNS, _KEPT = 16, 0.001, 3, 4, 40


_Key = tuple[tuple[str, SetPoint], ...]


def _key(set_points: SetPoints) -> _Key:
    return tuple(sorted(set_points.items()))


class SetPointSearch:
    """Set-points of a plan that were tried on some days, with what they came to; `own` are the circuit's."""

    def __init__(self, case: SitingCase, plan: SitingPlan, own: SetPoints, also: Collection[int]) -> None:
        self.case, self.plan, self.own = case, plan, own
        self.days = ComparedDays.of(case, plan, also)
        self.n_tried = 0
        # Shares of the sites' sizes at which set-points are simulated.
        self.levels = ends_of(case)
        self._tried: dict[_Key, tuple[OperationWorth, SetPoints]] = {}

    def look_at(self, candidates: Iterable[SetPoints]) -> None:
        """Simulate those that are new."""
        new = {_key(one): one for one in candidates}
        new = {key: one for key, one in new.items() if key not in self._tried}
        # What is further outside limits than all that will be asked for is not among these.
        known = sorted(worth.rank for worth, _ in self._tried.values())[:_KEPT]
        over_max = known[-1][0] if len(known) == _KEPT else None
        operated = [(self.plan, one) for one in new.values()]
        worth = worth_of(self.case, self.days, operated, self.levels, over_max=over_max)
        self._tried.update(zip(new, zip(worth, new.values(), strict=True), strict=True))
        self.n_tried += len(new)

    def best(self, n: int) -> list[SetPoints]:
        """The best so far."""
        return [one for _, one in sorted(self._tried.values(), key=lambda one: one[0].rank)[:n]]

    def worth(self, set_points: SetPoints) -> OperationWorth:
        """What those that were tried came to."""
        return self._tried[_key(set_points)][0]

    def refine(self, moves: Sequence[tuple[float, float, int]]) -> None:
        """Move the banks, all of them in a turn: each by itself, and what was better of each together in the next."""
        self._refine(moves, banks(self.own))

    def refine_singly(self) -> None:
        """Move every regulator by itself, where phases of a bank that are set unlike are worth it (`_WORTH_UNLIKE`).

        Where a first turn by volts alone gains nothing, nothing else is tried.
        """
        singles = [(name,) for name in self.own]
        if len(singles) == len(banks(self.own)):
            return
        alike, (best,) = dict(self._tried), self.best(1)
        volts = _SINGLY[-1][0]
        self.look_at(nudged(best, self.own, one, sign * volts, 0.0, 0.0) for one in singles for sign in (-1.0, 1.0))
        if self.best(1)[0] is not best:
            self._refine(_SINGLY, singles, moves_band=False)
        of_alike, of_unlike = (self.worth(one) for one in (best, self.best(1)[0]))
        if of_unlike.over_pu_h == of_alike.over_pu_h and of_unlike.cost > (1.0 - _WORTH_UNLIKE) * of_alike.cost:
            self._tried = alike

    def _refine(
        self, moves: Sequence[tuple[float, float, int]], groups: Sequence[Sequence[str]], moves_band: bool = True
    ) -> None:
        for volts, share, turns in moves:
            together: list[dict[str, SetPoint]] = []
            for _ in range(turns):
                (around,) = self.best(1)
                near = [neighbours(around, self.own, group, volts, share, moves_band) for group in groups]
                self.look_at([*together, *(one for of_group in near for one in of_group)])
                if self.best(1)[0] is around:
                    break
                together = [self._together(around, groups, near)]

    def _together(
        self, around: SetPoints, groups: Sequence[Sequence[str]], near: Sequence[Sequence[SetPoints]]
    ) -> dict[str, SetPoint]:
        """What was best of each group of regulators where it was better than none."""
        found = dict(around)
        for bank, of_bank in zip(groups, near, strict=True):
            best = min((around, *of_bank), key=lambda one: self.worth(one).rank)
            found |= {name: best[name] for name in bank}
        return found

    def with_days(self, days: Iterable[int], n_kept: int) -> None:
        """Days join, on which the best so far are looked at again and the others forgotten."""
        kept = self.best(n_kept)
        self.days = ComparedDays.of(self.case, self.plan, {*self.days.days, *days})
        self._tried = {}
        self.look_at(kept)


@dataclass(frozen=True, eq=False)
class FoundSetPoints:
    """Set-points, none of a circuit without regulators, and where controls stood before each day of their year (level,
    day), if that is known.

    `n_broken_unseen` are days of the weeks held out on which the first choice, made without them, broke a limit; they
    have joined since.
    """

    set_points: dict[str, SetPoint]
    begins: Begins | None = None
    n_broken_unseen: int = 0


def find_set_points(
    case: SitingCase,
    plan: SitingPlan,
    known: Sequence[SetPoints],
    hardest: Sequence[int],
    report: Callable[[str], None],
) -> FoundSetPoints:
    """The best set-points found for what a plan builds; those `known` from before are among the candidates.

    The `hardest` days of the year are looked at for their limits: the first of them in the search, all of them by its
    best before these go through the year.
    """
    search = begun(case, plan, known, hardest[:N_HARDEST])
    if search is None:
        return FoundSetPoints({})
    search.refine(MOVES)
    search.refine_singly()
    year = ComparedDays.year(case)
    # Finalists at the search's levels, and the best of them at all levels.
    levels = case.question.levels
    of_finalists: dict[_Key, tuple[OperationWorth, SetPoints]] = {}
    of_year: dict[_Key, tuple[OperationWorth, SetPoints]] = {}
    chosen_by, n_broken_unseen, n_through_year = is_chosen_by(len(year.days)), 0, 0
    for turn in range(_TURNS):
        new = [one for one in _finalists_on(search, hardest, year) if _key(one.set_points) not in of_finalists]
        operated = [(plan, one.set_points) for one in new]
        n_through_year += len(new)
        worth = worth_of(case, year, operated, search.levels, [one.begins for one in new])
        if turn == 0:
            n_broken_unseen = sum(not chosen_by[day] for day in worth[0].broken)
        for one, of_one in zip(new, worth, strict=True):
            of_finalists[_key(one.set_points)] = of_one, one.set_points
        key, (of_best, best) = min(of_finalists.items(), key=lambda item: item[1][0].rank)
        if key not in of_year:
            (at_all,) = [of_best] if search.levels == levels else worth_of(case, year, [(plan, best)], levels)
            of_year[key] = at_all, best
        if not of_year[key][0].broken:
            break
        broken = {day for one in (*worth, of_year[key][0]) for day in one.broken} - {*search.days.days}
        breaks_between = not of_best.broken and search.levels != levels
        if breaks_between:
            # It holds at both ends of the range, and not between: regulators stand elsewhere there.
            search.levels, moves = levels, MOVES
            of_finalists.clear()
        elif broken:
            moves = MOVES[-1:]
        else:
            break
        search.with_days(broken, _KEPT)
        search.refine(moves)
    report(f"{search.n_tried} set-points of regulators simulated, the best {n_through_year} over the year")
    worth_of_best, best = min(of_year.values(), key=lambda pair: pair[0].rank)
    return FoundSetPoints(dict(best), worth_of_best.begins, n_broken_unseen)


@dataclass(frozen=True, eq=False)
class _Finalist:
    """Set-points that are good on more days, and where the year's days may begin with them."""

    set_points: SetPoints
    begins: Begins


def _finalists_on(search: SetPointSearch, hardest: Sequence[int], year: ComparedDays) -> list[_Finalist]:
    """The search's best, the best on more days first: those that break a limit there join, until the best holds."""
    case = search.case
    priced = case.question.violations == "priced"
    for _ in range(_TURNS):
        finalists = search.best(_CHECKED)
        days = ComparedDays.of(case, search.plan, {*search.days.days, *hardest})
        worth = worth_of(case, days, [(search.plan, one) for one in finalists], search.levels)
        by_rank = sorted(range(len(finalists)), key=lambda k: _safe_rank(worth[k], priced))[:_FINALISTS]
        joining = {*worth[by_rank[0]].broken} - {*search.days.days}
        if not joining:
            break
        search.with_days(joining, _KEPT)
        search.refine(MOVES[-1:])
    return [_Finalist(finalists[k], year_guessed(days, worth[k], len(year.days))) for k in by_rank]


def _safe_rank(worth: OperationWorth, priced: bool) -> tuple[float, bool, float]:
    """On days by themselves bands do not stand where the year leaves them: what has a margin for that comes first, but
    not where violations have their price.
    """
    return worth.over_pu_h, not priced and worth.margin_pu < _MARGIN_PU, worth.cost


def first_set_points(case: SitingCase, plan: SitingPlan, known: Sequence[SetPoints]) -> dict[str, SetPoint]:
    """Set-points to begin with, those of all regulators alike, that have not been through the year."""
    search = begun(case, plan, known, ())
    return {} if search is None else dict(search.best(1)[0])


def begun(
    case: SitingCase, plan: SitingPlan, known: Sequence[SetPoints], hardest: Collection[int]
) -> SetPointSearch | None:
    """A search that has looked at all regulators alike, and at those known; none without regulators."""
    own = operation_of(case.network.feeder, case.question.limits.rating_basis).set_points()
    if not own:
        return None
    search = SetPointSearch(case, plan, own, hardest)
    search.look_at([*known, *uniform(own)])
    return search


def uniform(own: SetPoints) -> list[SetPoints]:
    """All regulators alike: volts, bands (none narrower than a regulator's own), with and without compensation."""
    found: list[SetPoints] = []
    compensated = any(one.r_v or one.x_v for one in own.values())
    for shift, band, keeps in product(_SHIFTS_V, (0.0, *_BANDS_V), (True, False) if compensated else (True,)):
        found.append(
            {
                name: SetPoint(
                    one.vreg_v + shift,
                    max(one.band_v, band),
                    one.r_v if keeps else 0.0,
                    one.x_v if keeps else 0.0,
                )
                for name, one in own.items()
            }
        )
    return found


def banks(own: SetPoints) -> list[tuple[str, ...]]:
    """Regulators with the same set-points: by their own settings the phases of one bank, as a rule."""
    groups: dict[SetPoint, list[str]] = {}
    for name, one in own.items():
        groups.setdefault(one, []).append(name)
    return [tuple(names) for names in groups.values()]


def neighbours(
    around: SetPoints, own: SetPoints, bank: Sequence[str], volts: float, share: float, moves_band: bool = True
) -> list[dict[str, SetPoint]]:
    """Set-points with those of a bank moved: voltage and band by `volts` or not, compensation by a share of its own or
    not, in all combinations: what one of them costs another makes up for. The band stays without `moves_band`.
    """
    compensated = any(own[name].r_v or own[name].x_v for name in bank)
    by_volts = (-volts, 0.0, volts)
    moves = product(by_volts, by_volts if moves_band else (0.0,), (-share, 0.0, share) if compensated else (0.0,))
    return [nudged(around, own, bank, *move) for move in moves if any(move)]


def nudged(
    set_points: SetPoints, own: SetPoints, bank: Sequence[str], volts: float, band: float, share: float
) -> dict[str, SetPoint]:
    """Set-points with those of a bank moved by so many volts, its band made wider and its compensation more by a share
    of its own.
    """
    return {
        name: SetPoint(
            one.vreg_v + volts,
            min(max(one.band_v + band, _BAND_MIN_V), _BAND_MAX_V),
            _moved(one.r_v, own[name].r_v, share),
            _moved(one.x_v, own[name].x_v, share),
        )
        if name in bank
        else one
        for name, one in set_points.items()
    }


def _moved(setting_v: float, own_v: float, share: float) -> float:
    """A setting of compensation (V) moved by a share of a regulator's own one, whose sign it keeps."""
    sign = math.copysign(1.0, own_v)
    return sign * max(0.0, round(sign * setting_v + share * abs(own_v), 6))


def set_points_in_words(own: Mapping[str, SetPoint], chosen: Mapping[str, SetPoint]) -> str:
    """What regulators are set to, those alike together."""
    words = []
    for names in banks(chosen):
        one = chosen[names[0]]
        compensation = f", compensation R {one.r_v:g} V, X {one.x_v:g} V" if one.r_v or one.x_v else ""
        if not compensation and any(own[name].r_v or own[name].x_v for name in names):
            compensation = ", compensation off"
        words.append(f"{', '.join(names)}: {one.vreg_v:g} V, band {one.band_v:g} V{compensation}")
    return "; ".join(words)
