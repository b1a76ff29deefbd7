"""A grid's run as arrays [step, node] that also reads like a list of states."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.grid.base import BusVoltages, GridState
from g2g_opt.grid.judged_voltages import JudgedVoltages
from g2g_opt.grid.loading import BranchLoading
from g2g_opt.tap_position import TapPosition

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]
Inspect = Callable[[Floats, Complexes, Floats], None]
StepWatch = Callable[[int, Complexes, Floats, Floats], None]

# Solutions are kept as phasors until this many are turned into magnitudes (and loadings) in one go.
_CHUNK_STEPS = 256


class GridRecord(Sequence[GridState]):
    """Voltages of every step; `voltage_pu[step, node]` follows `nodes`, (bus, phase) pairs, taken as `judged` says.

    `inspect(time_s, phasors, asked_kw)` sees every stretch of solutions, once, before its figures are read; what it
    raises comes out of the reading. With `loading` given, `loading_pu[step, branch]` is recorded too (share of the
    rating, `loading.names`). `watch(first_step, phasors, asked_kw, asked_kvar)` then sees every stretch, too.
    """

    def __init__(
        self,
        nodes: Sequence[tuple[str, int]],
        judged: JudgedVoltages,
        n_injections: int,
        inspect: Inspect,
        loading: BranchLoading | None = None,
        n_steps: int = 0,
        watch: StepWatch | None = None,
    ) -> None:
        self.nodes = list(nodes)
        self.loading = loading
        # Taps have moved since its admittances were read.
        self.loading_is_stale = False
        self.n_steps = 0
        self._flushed = 0
        self._judged = judged
        self._inspect, self._watch = inspect, watch
        self._phasors = np.empty((_CHUNK_STEPS, len(self.nodes)), dtype=np.complex128)
        self._asked_kw, self._asked_kvar = (np.empty((_CHUNK_STEPS, n_injections)) for _ in range(2))
        self._time_s = np.empty(n_steps)
        self._voltage_pu = np.empty((n_steps, len(self.nodes)))
        n_branches = len(loading.names) if loading else 0
        self._loading_pu = np.empty((n_steps if loading else 0, n_branches), dtype=np.float32)
        self._row_highest_pu: Floats | None = None
        # Taps seldom change: (first step, position), one entry per change.
        self._taps: list[tuple[int, TapPosition]] = []
        column: dict[str, list[int]] = {}
        for place, (bus, phase) in enumerate(self.nodes):
            if 1 <= phase <= 3 and judged.monitored[place]:
                column.setdefault(bus, [-1, -1, -1])[phase - 1] = place
        self._column = {bus: (places[0], places[1], places[2]) for bus, places in column.items()}

    def append(self, time_s: float, phasors: Complexes, asked_kw: Floats, asked_kvar: Floats) -> None:
        """Record a solution: node voltages (V, node order) and what every injection asked for (kW, kvar)."""
        step = self.n_steps
        if step >= len(self._time_s):
            self._grow()
        place = step - self._flushed
        self._time_s[step] = time_s
        self._phasors[place] = phasors
        self._asked_kw[place], self._asked_kvar[place] = asked_kw, asked_kvar
        self.n_steps = step + 1
        if place == _CHUNK_STEPS - 1:
            self.flush()

    def append_block(self, time_s: Sequence[float], phasors: Complexes, asked_kw: Floats, asked_kvar: Floats) -> None:
        """Record many solutions, as `append` does one."""
        done = 0
        while done < len(time_s):
            while self.n_steps >= len(self._time_s):
                self._grow()
            place = self.n_steps - self._flushed
            n = min(len(time_s) - done, _CHUNK_STEPS - place, len(self._time_s) - self.n_steps)
            self._time_s[self.n_steps : self.n_steps + n] = time_s[done : done + n]
            self._phasors[place : place + n] = phasors[done : done + n]
            self._asked_kw[place : place + n] = asked_kw[done : done + n]
            self._asked_kvar[place : place + n] = asked_kvar[done : done + n]
            self.n_steps += n
            done += n
            if place + n == _CHUNK_STEPS:
                self.flush()

    def flush(self) -> None:
        """Inspect the solutions held back and turn them into magnitudes; called before branch admittances change."""
        first, last = self._flushed, self.n_steps
        if first == last:
            return
        phasors = self._phasors[: last - first]
        self._voltage_pu[first:last] = self._judged.magnitudes_pu(phasors)
        if self.loading is not None:
            conductor_pu = self.loading.conductor_loading_pu(phasors)
            self._loading_pu[first:last] = self.loading.loading_pu(conductor_pu)
            highest_pu = conductor_pu.max(axis=0)
            known = self._row_highest_pu
            self._row_highest_pu = highest_pu if known is None else np.maximum(known, highest_pu)
        self._flushed = last
        self._inspect(self._time_s[first:last], phasors, self._asked_kw[: last - first])
        if self._watch is not None:
            self._watch(first, phasors, self._asked_kw[: last - first], self._asked_kvar[: last - first])

    def renew_loading(self, circuit: Circuit, moved: Collection[str]) -> None:
        """Take the present admittances of elements that taps have `moved` into the loadings from here on, if any did.

        Called after a solution, which is when OpenDSS renews admittances.
        """
        if self.loading_is_stale and self.loading is not None:
            self.flush()
            self.loading = self.loading.renewed(circuit, moved)
        self.loading_is_stale = False

    def note_taps(self, taps: TapPosition) -> None:
        """Taps that hold from the next recorded step on; the first are those that the loadings were read at."""
        moved = bool(self._taps)
        if self._taps and self._taps[-1][0] == self.n_steps:
            self._taps.pop()
        if not self._taps or self._taps[-1][1] != taps:
            self._taps.append((self.n_steps, taps))
            self.loading_is_stale |= moved

    def _grow(self) -> None:
        rows = max(64, 2 * len(self._time_s))
        for name in ("_time_s", "_voltage_pu", "_loading_pu"):
            old = getattr(self, name)
            if name == "_loading_pu" and self.loading is None:
                continue
            new = np.empty((rows, *old.shape[1:]), dtype=old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)

    @property
    def time_s(self) -> Floats:
        """Times (s), shape (step,)."""
        return self._time_s[: self.n_steps]

    @property
    def voltage_pu(self) -> Floats:
        """Voltage magnitudes (pu), shape (step, node)."""
        self.flush()
        return self._voltage_pu[: self.n_steps]

    @property
    def loading_pu(self) -> NDArray[np.float32]:
        """Loading of every branch (share of its rating), shape (step, branch); empty if not recorded."""
        self.flush()
        return self._loading_pu[: self.n_steps]

    @property
    def loading_phase(self) -> NDArray[np.int64]:
        """Phase (1 to 3) on which every branch carried its highest loading, shape (branch,)."""
        self.flush()
        if self.loading is None or self._row_highest_pu is None:
            return np.zeros(0, dtype=np.int64)
        phases = np.array([phase for _, phase in self.nodes], dtype=np.int64)
        nodes = self.loading.heaviest_nodes(self._row_highest_pu)
        return np.where(nodes >= 0, phases[nodes], 0)

    @property
    def tap_moves(self) -> Sequence[tuple[int, TapPosition]]:
        """(first step, position) of the taps at the beginning and of every move."""
        return self._taps

    def taps_at(self, step: int) -> TapPosition | None:
        """Tap ratios during a step; None without regulators."""
        held = [taps for first, taps in self._taps if first <= step]
        return held[-1] if held else None

    def columns(self, exclude_buses: Sequence[str] = ()) -> NDArray[np.int64]:
        """Columns of `voltage_pu` that are served phases 1 to 3 of buses not excluded (any case)."""
        excluded = {bus.lower() for bus in exclude_buses}
        monitored = self._judged.monitored
        return np.array(
            [i for i, (bus, _) in enumerate(self.nodes) if monitored[i] and bus not in excluded], dtype=np.int64
        )

    def __len__(self) -> int:
        return self.n_steps

    @overload
    def __getitem__(self, index: int) -> GridState: ...
    @overload
    def __getitem__(self, index: slice) -> list[GridState]: ...
    def __getitem__(self, index: int | slice) -> GridState | list[GridState]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self.n_steps))]
        step = index + self.n_steps if index < 0 else index
        if not 0 <= step < self.n_steps:
            raise IndexError(f"step {index} of a record of {self.n_steps} steps")
        self.flush()
        voltages = BusVoltages.from_arrays(self._voltage_pu[step], self._column)
        return GridState(float(self._time_s[step]), voltages, self.taps_at(step))
