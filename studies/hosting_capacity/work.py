"""The work of a hosting-capacity study: searches side by side, and what they share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from g2g_opt.feeder import Feeder
from studies.hosting_capacity.capacity import Aim, Operation, best_of
from studies.hosting_capacity.coarse_look import CoarseLook
from studies.hosting_capacity.question import HostingCapacityQuestion
from studies.hosting_capacity.search import SizeReport, SizeSearch
from studies.hosting_capacity.search_result import SearchResult, StoredRun
from studies.hosting_capacity.shared_lanes import SharedLanes
from studies.shared.side_by_side import run_side_by_side


def search_aims(
    study: HostingCapacityQuestion,
    aims: Mapping[Aim, int | None],
    report: SizeReport = lambda aim, judged: None,
    confirmed: Callable[[Aim], None] = lambda aim: None,
) -> list[SearchResult]:
    """What every aim comes to; a flexible one no less than the firm one at the same place.

    `report` hears of every size, `confirmed` of every run on OpenDSS.
    """
    study.check_fields()
    feeder, models = study.load_feeder(), study.load_models()
    lanes = SharedLanes(len(aims))
    searches, looks = [], dict[object, CoarseLook | None]()
    for aim, guess in aims.items():
        place = aim.buses, aim.first_n_servers
        search = SizeSearch(study, feeder, models, aim, guess, report, confirmed, lanes, looks.get(place))
        looks[place] = search.coarse
        searches.append(search)
    # Floors of the tokens served differ only in how the same runs are judged.
    remember = bool(study.throughput_shares)
    found = run_side_by_side(study, feeder, [search.found() for search in searches], remember)
    if len(study.floors(1)) > 1 and study.has_one_run:
        found = _share_sizes(study, feeder, searches, found)
    firm = {(one.capacity.aim.buses, one.capacity.aim.first_n_servers): one for one in found if _is_firm(one)}
    for k, one in enumerate(found):
        aim = one.capacity.aim
        at_rest = firm.get((aim.buses, aim.first_n_servers))
        if not _is_firm(one) and at_rest is not None:
            found[k] = replace(one, capacity=best_of(at_rest.capacity, one.capacity, study.objective))
    return found


def _share_sizes(
    study: HostingCapacityQuestion, feeder: Feeder, searches: Sequence[SizeSearch], found: Sequence[SearchResult]
) -> list[SearchResult]:
    """What was simulated under one floor of tokens, judged under the others; larger answers are confirmed as well."""
    pool: dict[tuple[tuple[str, ...], Operation], list[StoredRun]] = {}
    for one in found:
        pool.setdefault((one.capacity.aim.buses, one.capacity.operation), []).extend(one.runs)
    better = []
    for k, one in enumerate(found):
        aim = one.capacity.aim
        searches[k].absorb(pool[aim.buses, aim.operation])
        largest = searches[k].best_kept(one.capacity)
        if largest is not None:
            better.append((k, largest))
    settled = run_side_by_side(study, feeder, [searches[k].settle(n) for k, n in better])
    shared = list(found)
    for (k, _), one in zip(better, settled, strict=True):
        shared[k] = replace(one, rungs=found[k].rungs)
    return shared


def _is_firm(found: SearchResult) -> bool:
    return found.capacity.operation == "firm"
