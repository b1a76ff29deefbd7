"""All sites of a batch as arrays: a fleet is one site in one scenario, a row is one model of one fleet.

Schedules are laid out for a stretch of steps at a time, and once for all fleets that follow the same ones. What a step
costs is the sum over servers, shared by rows that replay the same template on the same pool.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch import fleet_kernel as tables
from g2g_opt.batch.fleet_draws import FleetDraws
from g2g_opt.batch.fleet_draws_kernel import WINDOW_STEPS
from g2g_opt.batch.server_power_kernel import PowerTable, ServerTable
from g2g_opt.compiled.lanes import aligned
from g2g_opt.compiled.program import DONE, Part
from g2g_opt.compiled.records import pack, pack_again
from g2g_opt.datacenter.draws import CHUNK_STEPS
from g2g_opt.datacenter.fleet import active_replicas, sums_before
from g2g_opt.datacenter.offline import OfflineDatacenter
from g2g_opt.datacenter.workloads.latency import EXACT_SAMPLING_MAX_REPLICAS
from g2g_opt.errors import InputError, unknown_name

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Steps laid out at a time; where replicas are shifted, the rest of a stretch is laid out again, so it has fewer.
_STRETCH_STEPS, _STEPS_WITH_SHIFTS = 1024, 256


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
        noise = np.array([site.demand.noise_fraction for site in self.sites], dtype=np.float64)
        numbers: dict[object, int] = {}
        self._schedules = [numbers.setdefault(site.demand.schedule_key, len(numbers)) for site in self.sites]
        n_fleets = len(self.sites)
        servers, n_pools, longest = self._read_pools()
        self._read_batch_sizes()
        row_draws = [self.sites[fleet].demand.draws for fleet in self.row_fleet]
        self._draws = FleetDraws(row_draws, self.row_label, noise[self.row_fleet] > 0.0, self._draws_latency)
        self._shift = np.zeros(self.n_rows, dtype=np.int64)
        self.itl_s = np.full(self.n_rows, np.nan)
        # The steps that are laid out: from the first up to the last.
        self._span = np.zeros(2, dtype=np.int64)
        self.power_w = np.zeros((n_fleets, 3))
        self.batch, self.commanded, place = (np.zeros(self.n_rows, dtype=np.int64) for _ in range(3))
        self.exhausted_steps = np.zeros(n_fleets, dtype=np.int64)
        self._stretch = self._no_stretch()
        self.servers, low = (np.zeros((self.n_rows, 3), dtype=np.int64) for _ in range(2))
        self.replicas = np.zeros(self.n_rows, dtype=np.int64)
        by_fleet = [site.demand.gpus_per_replica for site in self.sites]
        pools = [site.demand.pool.n_servers_by_phase for site in self.sites]
        self._claims = tables.ClaimTable(
            first_row=self.first_row,
            pool_servers=np.array(pools, dtype=np.int64).reshape(-1, 3),
            gpus_per_replica=_joined(by_fleet, np.int64),
            wanted=np.full(self.n_rows, -1, dtype=np.int64),
            until=np.zeros(n_fleets, dtype=np.int64),
            servers=self.servers,
            low=low,
            replicas=self.replicas,
            free=np.zeros(3, dtype=np.int64),
        )
        moves = servers.template_length.max(initial=1) > 1
        running = tuple(aligned(longest + 1 if moves else 0, WINDOW_STEPS) for _ in range(2))
        self._powers = PowerTable(
            until=np.zeros(self.n_rows, dtype=np.int64),
            fleet_until=np.zeros(n_fleets, dtype=np.int64),
            row_w=aligned(self.n_rows, 3, WINDOW_STEPS),
            fleet_w=aligned(n_fleets, 3, WINDOW_STEPS),
            itl_s=aligned(self.n_rows, WINDOW_STEPS),
            due=np.zeros(n_fleets, dtype=np.int64),
            head=np.full(len(servers.template_begin) * n_pools if moves else 0, -1, dtype=np.int64),
            following=np.zeros(3 * self.n_rows, dtype=np.int64),
            codes=np.zeros(3 * self.n_rows, dtype=np.int64),
            running=running[0],
            running_square=running[1],
        )
        self._tables = tables.FleetStep(
            fleet=self.row_fleet,
            gpus=gpus[self.row_fleet],
            noise_fraction=noise[self.row_fleet],
            pool=self._pool,
            pool_begin=self._pool_begin,
            sizes=self._sizes,
            servers=servers,
            stretch=self._stretch,
            claims=self._claims,
            draws=self._draws.table,
            powers=self._powers,
            commanded=self.commanded,
            place=place,
            batch=self.batch,
            draws_few=np.zeros(self.n_rows, dtype=np.bool_),
            itl_s=self.itl_s,
            power_w=self.power_w,
        )
        self._packed = pack(self._tables)
        self._command = self.command(*(np.zeros(n, dtype=np.int64) for n in (self.n_rows, self.n_rows, 1)))
        self._packed_command = pack(self._command)
        start = np.array([size for site in self.sites for size in _start_sizes(site)], dtype=np.int64)
        self.set_batch(np.arange(self.n_rows), start)

    # --- tables

    def _read_pools(self) -> tuple[ServerTable, int, int]:
        """Templates and servers of all pools, one after the other, how many pools, and how many servers at most.

        Of pools with the same draws the longest holds them all.
        """
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
        number = {key: k for k, key in enumerate(longest)}
        by_fleet = np.array([[number[key] for key in row] for row in keys], dtype=np.int64).reshape(-1, 3)
        self._pool = by_fleet[self.row_fleet]
        lengths = [len(amplitude) + 1 for amplitude, _ in longest.values()]
        self._pool_begin = (np.cumsum(lengths) - lengths).astype(np.int64)
        amplitudes = [amplitude for amplitude, _ in longest.values()]
        self._templates: list[Floats] = []
        self._template_number: dict[int, int] = {}
        for row, label in enumerate(self.row_label):
            templates = self.sites[self.row_fleet[row]].workload.inference_data.power_templates
            for size in templates.batch_sizes(label):
                template = templates.template(label, size)
                if id(template) not in self._template_number:
                    self._template_number[id(template)] = len(self._templates)
                    self._templates.append(template)
        laid = [np.resize(one, len(one) + WINDOW_STEPS) if len(one) > 1 else one for one in self._templates]
        laid_lengths = np.array([len(one) for one in laid], dtype=np.int64)
        servers = ServerTable(
            np.cumsum(laid_lengths) - laid_lengths,
            np.array([len(one) for one in self._templates], dtype=np.int64),
            _joined(laid),
            _joined([np.append(amplitude, 0.0) for amplitude in amplitudes]),
            _joined([np.append(offset, 0.0) for _, offset in longest.values()]),
            _joined([sums_before(amplitude) for amplitude in amplitudes]),
            _joined([sums_before(amplitude * amplitude) for amplitude in amplitudes]),
        )
        return servers, len(longest), max(lengths, default=1)

    def _read_batch_sizes(self) -> None:
        """Sizes of all rows; those of one model's data once."""
        kept: list[tuple[int, int, float, float, int]] = []
        mixtures: dict[int, tuple[float, ...]] = {}
        number: dict[int, int] = {}
        tables_of: dict[tuple[int, str], tuple[int, int]] = {}
        first, count = (np.zeros(self.n_rows, dtype=np.int64) for _ in range(2))
        self._draws_latency = np.zeros(self.n_rows, dtype=np.bool_)
        for row, label in enumerate(self.row_label):
            data = self.sites[self.row_fleet[row]].workload.inference_data
            if (id(data), label) not in tables_of:
                begin = len(kept)
                for size in sorted(data.power_templates.batch_sizes(label)):
                    template = self._template_number[id(data.power_templates.template(label, size))]
                    mean_s, variance_s2, mixture = np.nan, 0.0, -1
                    if data.itl_fits is not None and size in data.itl_fits.batch_sizes(label):
                        m = data.itl_fits.distribution(label, size)
                        mean_s, variance_s2 = m.mean_s, m.variance_s2
                        if variance_s2 > 0.0:
                            mixture = number.setdefault(id(m), len(number))
                            mixtures[mixture] = (m.weight, m.mu_1, m.sigma_1, m.mu_2, m.sigma_2)
                    kept.append((int(size), template, mean_s, variance_s2, mixture))
                tables_of[id(data), label] = begin, len(kept) - begin
            first[row], count[row] = tables_of[id(data), label]
            self._draws_latency[row] = any(one[4] >= 0 for one in kept[first[row] : first[row] + count[row]])
        columns = [np.array(column) for column in zip(*kept, strict=True)] or [np.zeros(0)] * 5
        self._sizes = tables.SizeTable(
            first=first,
            n_sizes=count,
            size=columns[0].astype(np.int64),
            template=columns[1].astype(np.int64),
            mean_s=columns[2].astype(np.float64),
            variance_s2=columns[3].astype(np.float64),
            mixture=columns[4].astype(np.int64),
            mixtures=np.array([mixtures[k] for k in range(len(mixtures))], dtype=np.float64).reshape(-1, 5),
        )

    # --- stepping

    def _lay_out(self, first: int) -> None:
        """Schedules and keys of draws of the stretch from step `first` on."""
        # Not beyond a chunk of draws, nor the end of the run, where shifted replicas need not fit any more.
        steps = min(_STEPS_WITH_SHIFTS if self._shift.any() else _STRETCH_STEPS, CHUNK_STEPS - first % CHUNK_STEPS)
        n = min(steps, self._n_steps - first)
        times = np.arange(first, first + n) * self._dt.numerator / self._dt.denominator
        done: dict[object, tuple[Ints, Floats]] = {}
        wanted = np.empty((self.n_rows, n), dtype=np.int64)
        standing_w = np.zeros((len(self.sites), n + 2 * WINDOW_STEPS))
        shifted = {int(self.row_fleet[row]) for row in np.flatnonzero(self._shift)}
        for fleet, site in enumerate(self.sites):
            rows = slice(self.first_row[fleet], self.first_row[fleet + 1])
            shift = self._shift[rows]
            if fleet in shifted:
                # Do they still fit beside the schedule?
                site.demand.stretch(times[0], n, shift)
            key = (self._schedules[fleet], shift.tobytes())
            if key not in done:
                scheduled = site.demand.scheduled_replicas(times)
                done[key] = np.maximum(scheduled + shift, 0).T, site.demand.standing_w(times)
            wanted[rows], standing_w[fleet, WINDOW_STEPS : WINDOW_STEPS + n] = done[key]
        self._draws.lay_out(first, *self._drawing_rows(wanted))
        self._stretch = tables.StretchTable(self._span, wanted, standing_w)
        self._tables = self._tables._replace(stretch=self._stretch)
        self._packed = pack_again(self._packed, self._tables)
        self._claims.until[:] = 0
        self._span[:] = first, first + n

    def _drawing_rows(self, wanted: Ints) -> tuple[Ints, Ints]:
        """Rows whose latency is drawn replica by replica in some step of a stretch, and those for which a mean is."""
        if not self._draws_latency.any():
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        # Replicas that run do not fall as those wanted rise, so the fewest and the most say it.
        most = wanted.max(axis=1)
        fewest = wanted.min(axis=1, where=wanted > 0, initial=np.iinfo(np.int64).max)
        gpus, each = self._tables.gpus, self._claims.gpus_per_replica
        few, many = (
            active_replicas(-(-(count * each) // gpus), each, gpus) for count in (np.minimum(fewest, most), most)
        )
        is_few = (most > 0) & (few <= EXACT_SAMPLING_MAX_REPLICAS)
        is_many = many > EXACT_SAMPLING_MAX_REPLICAS
        return np.flatnonzero(self._draws_latency & is_few), np.flatnonzero(self._draws_latency & is_many)

    def _no_stretch(self) -> tables.StretchTable:
        """No steps."""
        n, f = self.n_rows, len(self.sites)
        return tables.StretchTable(
            span=self._span,
            wanted=np.zeros((n, 0), dtype=np.int64),
            standing_w=np.zeros((f, 0)),
        )

    def advance(self, step: int) -> None:
        """Powers, replicas and latencies of a step; steps come one after the other."""
        if tables.advance_fleets(self._packed.address, step) != DONE:
            self._lay_out(step)
            tables.advance_fleets(self._packed.address, step)

    def part(self) -> Part:
        """`advance` as a part of a compiled step."""
        return Part(lambda step, code: self.advance(step), tables.advance_fleets, self._packed)

    # --- commands

    def set_batch(self, rows: Ints, sizes: Ints) -> None:
        """New batch sizes of some rows, from the next step on; `InputError` for one without a template."""
        for first in range(0, len(rows), max(1, self.n_rows)):
            some = rows[first : first + self.n_rows]
            self._command.n[0] = len(some)
            self._command.rows[: len(some)], self._command.sizes[: len(some)] = some, sizes[first : first + len(some)]
            if tables.command_sizes(self._packed_command.address, 0) != DONE:
                raise self.refusal(self._command)

    def command(self, rows: Ints, sizes: Ints, n: Ints) -> tables.SizeCommand:
        """A command to the first `n` of `rows`, for `command_sizes`: whatever stands in these arrays then."""
        return tables.SizeCommand(self._tables, n, rows, sizes, np.zeros(1, dtype=np.int64))

    def refusal(self, command: tables.SizeCommand) -> InputError:
        """What a command was refused for."""
        row = int(command.refused[0])
        have = self._sizes.size[self._sizes.first[row] :][: self._sizes.n_sizes[row]].tolist()
        size = int(command.sizes[command.rows.tolist().index(row)])
        return InputError(f"batch size {size} of {self.row_label[row]!r} has no power template; choose one of {have}")

    def count_exhausted(self, fleets: Ints | list[int]) -> None:
        """A control step in which the controllers of these fleets could do no more about voltages."""
        self.exhausted_steps[fleets] += 1

    def shift_replicas(self, fleet: int, label: str, count: int, step: int) -> None:
        """Add (or take) replicas at a fleet on top of its schedule, from the step after `step` on."""
        row = self.row_of(fleet, label)
        self._shift[row] += count
        # Lay the rest of the stretch out again.
        self._span[1] = step + 1

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
