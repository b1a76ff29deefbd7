"""All sites of a batch as arrays: a fleet is one site in one scenario, a row is one model of one fleet.

Schedules are laid out for a stretch of steps at a time, and once for all fleets that follow the same ones. What a step
costs is the sum over servers, shared by rows that replay the same template on the same pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.datacenter.demand import Stretch
from g2g_opt.datacenter.fleet import first_ranks, fleet_rows_power_w, ranked_sums
from g2g_opt.datacenter.observe import observe_itl_s
from g2g_opt.datacenter.offline import OfflineDatacenter
from g2g_opt.datacenter.workloads.latency import EXACT_SAMPLING_MAX_REPLICAS, LatencyMixture
from g2g_opt.errors import InputError, unknown_name

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_STRETCH_STEPS = 256


@dataclass(frozen=True)
class _BatchSize:
    """What one batch size of one row means: its template's place, and its latency mixture (None: no latency)."""

    begin: int
    length: int
    mixture: LatencyMixture | None


class Fleets:
    """The sites of all scenarios; `sites[slot]` are those of one scenario, in its order.

    After `advance(step)`: `power_w` (fleet, 3), `replicas`, `itl_s`, `servers` (row, ...) of that step, `batch` (row,)
    the sizes it ran at. `set_batch` and `shift_replicas` act from the next step on.
    """

    def __init__(self, sites: Sequence[Sequence[OfflineDatacenter]], dt_s: Fraction, n_steps: int) -> None:
        self.sites = [site for row in sites for site in row]
        self.slot = np.array([slot for slot, row in enumerate(sites) for _ in row], dtype=np.int64)
        self.of_scenario = [
            list(range(sum(map(len, sites[:s])), sum(map(len, sites[: s + 1])))) for s in range(len(sites))
        ]
        self._dt, self._n_steps = dt_s, n_steps
        models = np.array([len(site.model_labels) for site in self.sites], dtype=np.int64)
        self.first_row = np.concatenate([[0], np.cumsum(models)]).astype(np.int64)
        self.n_rows = int(self.first_row[-1])
        self.row_fleet = np.repeat(np.arange(len(self.sites)), models)
        self.row_label = [label for site in self.sites for label in site.model_labels]
        gpus = np.array([site.demand.pool.gpus_per_server for site in self.sites], dtype=np.int64)
        self._gpus = gpus[self.row_fleet]
        noise = np.array([site.demand.noise_fraction for site in self.sites], dtype=np.float64)
        self._noise = noise[self.row_fleet]
        # Rows of equal streams draw the same numbers at every step.
        keys: dict[tuple[object, ...], int] = {}
        self._streams = [
            keys.setdefault((*self.sites[fleet].demand.draws.key, label), len(keys))
            for fleet, label in zip(self.row_fleet.tolist(), self.row_label, strict=True)
        ]
        self._gpus_per_replica = _joined([site.demand.gpus_per_replica for site in self.sites], np.int64)
        self._read_pools()
        self._read_batch_sizes()
        self._shift = np.zeros(self.n_rows, dtype=np.int64)
        self._total, self._square = np.zeros((self.n_rows, 3)), np.zeros((self.n_rows, 3))
        self._noisy = bool(self._noise.any())
        self.itl_s = np.full(self.n_rows, np.nan)
        self._first = self._end = 0
        self.power_w = np.zeros((len(self.sites), 3))
        self.batch = np.zeros(self.n_rows, dtype=np.int64)
        self.commanded = np.array([size for site in self.sites for size in _start_sizes(site)], dtype=np.int64)
        self.exhausted_steps = np.zeros(len(self.sites), dtype=np.int64)
        self._look_up(range(self.n_rows))

    # --- tables

    def _read_pools(self) -> None:
        """Servers of all pools, one after the other; of pools with the same draws the longest holds them all."""
        longest: dict[tuple[object, ...], tuple[Floats, Floats]] = {}
        keys: list[list[tuple[object, ...]]] = []
        for site in self.sites:
            pool = site.demand.pool
            keys.append([])
            for phase in range(3):
                amplitude, offset = pool.amplitude[phase], pool.offset[phase]
                key: tuple[object, ...] = (*site.demand.draws.key, phase)
                held = longest.get(key)
                n = min(len(amplitude), len(held[0])) if held is not None else 0
                if held is not None and not (
                    np.array_equal(held[0][:n], amplitude[:n]) and np.array_equal(held[1][:n], offset[:n])
                ):
                    key = (*key, id(pool))
                    held = None
                if held is None or len(amplitude) > len(held[0]):
                    longest[key] = (amplitude, offset)
                keys[-1].append(key)
        begin, place = {}, 0
        for key, (amplitude, _) in longest.items():
            begin[key] = place
            place += len(amplitude)
        self._amplitude = _joined([amplitude for amplitude, _ in longest.values()])
        self._offset = _joined([offset for _, offset in longest.values()])
        by_fleet = np.array([[begin[key] for key in row] for row in keys], dtype=np.int64).reshape(-1, 3)
        self._pool_begin = by_fleet[self.row_fleet]

    def _read_batch_sizes(self) -> None:
        """Templates of all batch sizes one after the other."""
        place_of: dict[int, int] = {}
        kept: list[Floats] = []
        place = 0
        self._sizes: list[dict[int, _BatchSize]] = []
        tables: dict[tuple[int, str], dict[int, _BatchSize]] = {}
        for row, label in enumerate(self.row_label):
            data = self.sites[self.row_fleet[row]].workload.inference_data
            if (id(data), label) not in tables:
                table = {}
                for size in data.power_templates.batch_sizes(label):
                    template = data.power_templates.template(label, size)
                    if id(template) not in place_of:
                        place_of[id(template)] = place
                        kept.append(template)
                        place += len(template)
                    mixture = None
                    if data.itl_fits is not None and size in data.itl_fits.batch_sizes(label):
                        mixture = data.itl_fits.distribution(label, size)
                    table[size] = _BatchSize(place_of[id(template)], len(template), mixture)
                tables[id(data), label] = table
            self._sizes.append(tables[id(data), label])
        self._templates = _joined(kept)
        self._template_begin = np.zeros(self.n_rows, dtype=np.int64)
        self._template_length = np.ones(self.n_rows, dtype=np.int64)
        # Which stream and mixture a row's few replicas draw their latencies from (-1: they draw none).
        self._latency_kind = np.full(self.n_rows, -1, dtype=np.int64)
        self._latency_kinds: list[tuple[int, LatencyMixture]] = []
        self._kind_of: dict[tuple[int, int], int] = {}
        self._mean_s, self._variance_s2 = np.full(self.n_rows, np.nan), np.zeros(self.n_rows)
        self._draws_latency = [
            any(size.mixture is not None and size.mixture.variance_s2 > 0.0 for size in sizes.values())
            for sizes in self._sizes
        ]

    def _look_up(self, rows: Sequence[int] | range) -> None:
        """Template and latency of rows whose batch size was commanded anew."""
        for row in rows:
            size = self._sizes[row].get(int(self.commanded[row]))
            if size is None:
                raise InputError(
                    f"batch size {self.commanded[row]} of {self.row_label[row]!r} has no power template; "
                    f"choose one of {sorted(self._sizes[row])}"
                )
            self._template_begin[row], self._template_length[row] = size.begin, size.length
            self._mean_s[row] = size.mixture.mean_s if size.mixture is not None else np.nan
            self._variance_s2[row] = size.mixture.variance_s2 if size.mixture is not None else 0.0
            self._latency_kind[row] = -1
            if size.mixture is not None and size.mixture.variance_s2 > 0.0:
                key = self._streams[row], id(size.mixture)
                if key not in self._kind_of:
                    self._kind_of[key] = len(self._latency_kinds)
                    self._latency_kinds.append((self._streams[row], size.mixture))
                self._latency_kind[row] = self._kind_of[key]
        self._replayed = np.flatnonzero(self._template_length > 1)
        flat = np.flatnonzero(self._template_length == 1)
        self._flat = _Groups.of(flat, self._template_begin, self._template_length, self._pool_begin)
        self._grouped = _Groups.of(self._replayed, self._template_begin, self._template_length, self._pool_begin)
        self._stale = True

    # --- stepping

    def _lay_out(self, first: int) -> None:
        """Schedules and draws of the stretch from step `first` on."""
        # Not beyond the end of the run, where shifted replicas need not fit any more.
        n = min(_STRETCH_STEPS, self._n_steps - first)
        start_s = first * self._dt.numerator / self._dt.denominator
        done: dict[object, tuple[Stretch, Ints]] = {}
        noise_of: dict[object, Floats | None] = {}
        latency_of: dict[int, Floats] = {}
        shape = (n, self.n_rows)
        self._replicas = np.empty(shape, dtype=np.int64)
        self._servers, self._low = np.empty((*shape, 3), dtype=np.int64), np.empty((*shape, 3), dtype=np.int64)
        self._standing_w = np.empty((n, len(self.sites), 3))
        self._normals = np.zeros((*shape, 3))
        self._latency = np.zeros(shape)
        for fleet, site in enumerate(self.sites):
            rows = slice(self.first_row[fleet], self.first_row[fleet + 1])
            shift = self._shift[rows]
            key = (site.demand.schedule_key, shift.tobytes())
            if key not in done:
                laid_out = site.demand.stretch(start_s, n, shift)
                done[key] = laid_out, first_ranks(laid_out.servers)
            stretch, low = done[key]
            self._replicas[:, rows], self._servers[:, rows] = stretch.replicas, stretch.servers
            self._low[:, rows] = low
            self._standing_w[:, fleet] = stretch.standing_w
            # Sites of one key draw the same numbers, wherever they stand.
            drawn = (*site.demand.draws.key, site.demand.labels, bool(site.demand.noise_fraction))
            if drawn not in noise_of:
                noise_of[drawn] = site.demand.noise(first, n)
            noise = noise_of[drawn]
            if noise is not None:
                self._normals[:, rows] = noise
            for model, row in enumerate(range(rows.start, rows.stop)):
                if self._draws_latency[row]:
                    stream = self._streams[row]
                    if stream not in latency_of:
                        latency_of[stream] = site.demand.latency_normals(model, first, n)
                    self._latency[:, row] = latency_of[stream]
        self._moved = np.ones(n, dtype=np.bool_)
        self._moved[1:] = np.any(self._servers[1:] != self._servers[:-1], axis=(1, 2))
        self._few = np.flatnonzero(
            np.array(self._draws_latency, dtype=np.bool_)
            & np.any((self._replicas > 0) & (self._replicas <= EXACT_SAMPLING_MAX_REPLICAS), axis=0)
        )
        self._pairs: dict[int, tuple[Floats, Floats]] = {}
        for row in self._few.tolist():
            if self._streams[row] not in self._pairs:
                fleet = self.row_fleet[row]
                pairs = self.sites[fleet].demand.latency_pairs(int(row - self.first_row[fleet]), first, n)
                self._pairs[self._streams[row]] = pairs
        self._first, self._end = first, first + n
        self._stale = True

    def advance(self, step: int) -> None:
        """Powers, replicas and latencies of a step; steps come one after the other."""
        if not self._first <= step < self._end:
            self._lay_out(step)
        k = step - self._first
        self.batch[:] = self.commanded
        self.replicas, self.servers = self._replicas[k], self._servers[k]
        low = self._low[k]
        if self._stale or self._moved[k]:
            # Flat templates draw the same at every step until something changes.
            self._sum(self._flat, step, low)
            self._stale = False
        if len(self._replayed):
            self._sum(self._grouped, step, low)
        fleet_rows_power_w(
            self._total,
            self._square,
            self._gpus,
            self._noise,
            self._normals[k],
            self.row_fleet,
            self._standing_w[k],
            self.power_w,
        )
        self._observe_latency(k)

    def _sum(self, groups: _Groups, step: int, low: Ints) -> None:
        """Sums over the servers of some rows, into `_total` and `_square`."""
        if len(groups.member) == 0:
            return
        groups.step[:] = step
        begin, total = low.reshape(-1)[groups.member], np.empty(len(groups.member))
        square = np.zeros(len(total))
        ranked_sums(
            self._templates,
            self._amplitude,
            self._offset,
            groups.template_begin,
            groups.template_length,
            groups.step,
            groups.pool_begin,
            groups.member_start,
            begin,
            begin + self.servers.reshape(-1)[groups.member],
            self._noisy,
            total,
            square,
        )
        self._total.reshape(-1)[groups.member], self._square.reshape(-1)[groups.member] = total, square

    def _observe_latency(self, k: int) -> None:
        observe_itl_s(self.replicas, self._mean_s, self._variance_s2, self._latency[k], self.itl_s)
        # Rows of one stream, mixture and number of replicas observe the same latency: it is drawn once.
        n = self.replicas[self._few]
        drawn = (self._latency_kind[self._few] >= 0) & (n > 0) & (n <= EXACT_SAMPLING_MAX_REPLICAS)
        rows, n = self._few[drawn], n[drawn]
        codes, place = np.unique(self._latency_kind[rows] * (EXACT_SAMPLING_MAX_REPLICAS + 1) + n, return_inverse=True)
        observed = np.empty(len(codes))
        for i, code in enumerate(codes.tolist()):
            kind, few = divmod(code, EXACT_SAMPLING_MAX_REPLICAS + 1)
            stream, mixture = self._latency_kinds[kind]
            uniforms, normals = self._pairs[stream]
            observed[i] = mixture.sample_s(uniforms[k, :few], normals[k, :few]).mean()
        self.itl_s[rows] = observed[place]

    # --- commands

    def set_batch(self, rows: Ints, sizes: Ints) -> None:
        """New batch sizes of some rows, from the next step on; `InputError` for one without a template."""
        changed = rows[self.commanded[rows] != sizes]
        self.commanded[rows] = sizes
        if len(changed):
            self._look_up(changed.tolist())

    def count_exhausted(self, fleets: Ints | list[int]) -> None:
        """A control step in which the controllers of these fleets could do no more about voltages."""
        self.exhausted_steps[fleets] += 1

    def shift_replicas(self, fleet: int, label: str, count: int, step: int) -> None:
        """Add (or take) replicas at a fleet on top of its schedule, from the step after `step` on."""
        row = self.row_of(fleet, label)
        self._shift[row] += count
        # Lay the rest of the stretch out again.
        self._end = step + 1

    def row_of(self, fleet: int, label: str) -> int:
        """Row of a model at a fleet."""
        site = self.sites[fleet]
        if label not in site.model_labels:
            raise unknown_name("model", label, site.model_labels, f"at site {site.name!r}")
        return int(self.first_row[fleet]) + site.model_labels.index(label)

    def free_gpus(self, fleet: int, step: int) -> int:
        """GPUs free for replicas shifted in, as `OfflineDatacenter.available_gpu_capacity` after `step`."""
        rows = slice(self.first_row[fleet], self.first_row[fleet + 1])
        demand = self.sites[fleet].demand
        time_s = np.array([step * self._dt.numerator / self._dt.denominator])
        pending = np.maximum(demand.scheduled_replicas(time_s)[0] + self._shift[rows], 0)
        used = int(np.maximum(self.replicas[rows], pending) @ demand.gpus_per_replica)
        return max(0, self.sites[fleet].total_gpu_capacity - used)

    def gpus_free_beside_schedule(self, fleet: int, step: int) -> int:
        """As `OfflineDatacenter.gpus_free_beside_schedule` after `step`."""
        rows = slice(self.first_row[fleet], self.first_row[fleet + 1])
        return self.sites[fleet].demand.gpus_free_from(
            step * self._dt.numerator / self._dt.denominator, self._shift[rows]
        )


def _joined(parts: Sequence[NDArray[Any]], kind: type[np.generic] = np.float64) -> NDArray[Any]:
    """Arrays one after the other; an empty one of a batch in which no scenario has a site."""
    return np.concatenate(parts) if parts else np.empty(0, dtype=kind)


def _start_sizes(site: OfflineDatacenter) -> list[int]:
    """Batch sizes that a site begins with, whatever it may have been told in a run before."""
    given = site.workload.initial_batch_sizes
    smallest = {spec.model_label: spec.feasible_batch_sizes[0] for spec in site.workload.inference_data.models}
    return [int(given.get(label, smallest[label])) for label in site.model_labels]


@dataclass(frozen=True, eq=False)
class _Groups:
    """(row, phase) pairs, as places in a flat array, in groups that share template and pool for `ranked_sums`."""

    member: Ints
    template_begin: Ints
    template_length: Ints
    pool_begin: Ints
    member_start: Ints
    step: Ints

    @staticmethod
    def of(rows: Ints, template_begin: Ints, template_length: Ints, pool_begin: Ints) -> _Groups:
        row, phase = np.repeat(rows, 3), np.tile(np.arange(3), len(rows))
        order = np.lexsort((pool_begin[row, phase], template_begin[row]))
        row, phase = row[order], phase[order]
        template, pool = template_begin[row], pool_begin[row, phase]
        new = np.ones(len(row), dtype=np.bool_)
        new[1:] = (template[1:] != template[:-1]) | (pool[1:] != pool[:-1])
        starts = np.flatnonzero(new)
        return _Groups(
            3 * row + phase,
            template[starts],
            template_length[row[starts]],
            pool[starts],
            np.append(starts, len(row)).astype(np.int64),
            np.zeros(len(starts), dtype=np.int64),
        )
