"""What sites do by themselves while no command reaches them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.communication import FailSafe
from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.records import Bools1, Floats1, Floats2, Ints1, Ints2, pack, reader
from g2g_opt.controller.batch_sizes import FeasibleTable
from g2g_opt.controller.rule_based import RuleBasedConfig, moved_by, pressure_of
from g2g_opt.datacenter.config import InferenceModelSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_HOLD, _SAFE, _RELEASE, _DROOP = range(4)
_RULES = {"hold": _HOLD, "safe": _SAFE, "release": _RELEASE, "droop": _DROOP}


class AloneTable(NamedTuple):
    """Sites' rules, the rows of their models (those of site k from `first[k]` on), and the models themselves.

    `held` (row,) is what local droop commanded last (-1: nothing yet), `iterate` its iterate then.
    """

    rule: Ints1
    first: Ints1  # (site + 1,)
    v_min: Floats1  # (site,)
    v_max: Floats1
    deadband: Floats1
    step_size: Floats1
    guards: Bools1
    model: Ints1  # (row,): place of its model
    start: Ints1
    safe_place: Ints1
    sizes: Ints2  # (model, size), as in `FeasibleTable`
    midpoints: Floats2
    n_sizes: Ints1
    deadline_s: Floats1
    low: Floats1
    high: Floats1
    held: Ints1
    iterate: Floats1


class FailSafes:
    """The fail-safes of some sites: of each its rule, its models in their order, its batch sizes without control, and
    the band (pu) that local droop keeps its bus in.
    """

    def __init__(
        self,
        rules: Sequence[FailSafe],
        models: Sequence[Sequence[InferenceModelSpec]],
        starts: Sequence[Sequence[int]],
        bands: Sequence[tuple[float, float]],
    ) -> None:
        tuned = {band: RuleBasedConfig(v_min=band[0], v_max=band[1]) for band in dict.fromkeys(bands)}
        droop = [tuned[band] for band in bands]
        known: dict[InferenceModelSpec, int] = {}
        place = [known.setdefault(spec, len(known)) for of_site in models for spec in of_site]
        feasible = [sorted(set(spec.feasible_batch_sizes)) for spec in known]
        table = FeasibleTable.of(feasible or [[1]])
        safe = [rule.safe_batch_size for rule, of_site in zip(rules, models, strict=True) for _ in of_site]
        self.table = AloneTable(
            np.array([_RULES[rule.rule] for rule in rules], dtype=np.int64),
            np.cumsum([0, *map(len, models)], dtype=np.int64),
            np.array([c.v_min for c in droop], dtype=np.float64),
            np.array([c.v_max for c in droop], dtype=np.float64),
            np.array([c.deadband for c in droop], dtype=np.float64),
            np.array([c.step_size for c in droop], dtype=np.float64),
            np.array([c.latency_guard for c in droop], dtype=np.bool_),
            np.array(place, dtype=np.int64),
            np.array([size for start in starts for size in start], dtype=np.int64),
            np.array([_place_of(feasible[k], n) for k, n in zip(place, safe, strict=True)], dtype=np.int64),
            table.sizes,
            table.midpoints,
            np.array([len(sizes) for sizes in feasible], dtype=np.int64),
            np.array([spec.itl_deadline_s for spec in known], dtype=np.float64),
            np.array([np.log2(sizes[0]) for sizes in feasible], dtype=np.float64),
            np.array([np.log2(sizes[-1]) for sizes in feasible], dtype=np.float64),
            np.full(len(place), -1, dtype=np.int64),
            np.zeros(len(place)),
        )
        self._packed = pack(self.table)

    def next_sizes(self, site: int, batch: Ints, local_pu: Floats, itl_s: Floats) -> Ints:
        """Batch sizes (model,) of a site after one action, from its present ones and latencies (s).

        `local_pu` (bus-phase,) are the voltages (pu) at its bus.
        """
        sizes = np.empty(len(batch), dtype=np.int64)
        _next_sizes(self._packed.words, site, batch, np.asarray(itl_s, dtype=float), local_pu, sizes)
        return sizes


def _place_of(sizes: Sequence[int], safe: int) -> int:
    """Place of the largest of some rising sizes up to the safe one, of the smallest if there is none."""
    return max(bisect_right(sizes, safe) - 1, 0)


_read = reader(AloneTable)


@kernel
def _next_sizes(packed: Ints, site: int, batch: Ints, itl_s: Floats, local_pu: Floats, sizes: Ints) -> None:
    act_alone(_read(packed), site, batch, itl_s, 0, local_pu, sizes, 0)


@inner
def act_alone(t: Any, site: int, batch: Any, itl_s: Any, at: int, local_pu: Any, sizes: Any, out: int) -> None:
    """One action of a site: `sizes` from `out` on, from batch sizes and latencies (s) from `at` on, and the voltages
    (pu) at its bus.

    Droop goes on from its own iterates as long as nobody else has changed the site's batch sizes.
    """
    first, n, rule = t.first[site], t.first[site + 1] - t.first[site], t.rule[site]
    own, pressure = True, 0.0
    if rule == _DROOP:
        for m in range(n):
            own = own and t.held[first + m] == batch[at + m]
        pressure = pressure_of(local_pu, t.v_min[site], t.v_max[site], t.deadband[site])
    for m in range(n):
        row, model, now = first + m, t.model[first + m], batch[at + m]
        sizes[out + m] = now
        if rule == _SAFE:
            place, wanted = 0, t.safe_place[row]
            while place < t.n_sizes[model] and t.sizes[model, place] < now:
                place += 1
            place += 1 if wanted > place else (-1 if wanted < place else 0)
            sizes[out + m] = t.sizes[model, min(place, t.n_sizes[model] - 1)]
        elif rule == _RELEASE:
            sizes[out + m] = t.start[row]
        elif rule == _DROOP:
            x = t.iterate[row] if own else np.log2(float(now))
            is_late = t.guards[site] and itl_s[at + m] > t.deadline_s[model]
            x = moved_by(x, pressure, is_late, t.low[model], t.high[model], t.step_size[site])
            if pressure != 0.0:
                place, size = 0, np.exp2(x)
                while place < t.midpoints.shape[1] and size > t.midpoints[model, place]:
                    place += 1
                sizes[out + m] = t.sizes[model, place]
            t.held[row], t.iterate[row] = sizes[out + m], x
