"""`Fuses`: whether a fuse of the circuit sees a current from which on it begins to melt, in all scenarios of a batch.

What a fuse does from there on in time is not modelled. But a fuse that never sees that much does nothing at all, so
that a run is whole without it: each is looked at after every solution, as OpenDSS samples its own. Where no time
passes fuses are held, as in `circuit/protection.py`, and looked at once the controls have come to rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.own_controls_kernel import Fused
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.circuit.fuses import FuseSettings
from g2g_opt.circuit.parts import LinearElement
from g2g_opt.circuit.protection import PickedUp
from g2g_opt.failure import Failure, FailureKind

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Fuses:
    """Fuses of all scenarios; `place_of` gives a node its place among the sensed voltages.

    Raises `UnsupportedByBatch` for a fuse that is blown where runs begin, and for one that looks at something else than
    a line or another element whose admittances stay.
    """

    def __init__(
        self,
        settings: Sequence[FuseSettings],
        elements: Mapping[tuple[str, str], LinearElement],
        place_of: Callable[[int], int],
    ) -> None:
        self._picked_up: dict[int, Failure] = {}
        self._of_row: list[FuseSettings] = []
        places: list[int] = []
        y: list[complex] = []
        start: list[int] = []
        for fuse in settings:
            if np.isinf(fuse.pickup_a):
                continue
            kind, _, name = fuse.element.partition(".")
            element = elements.get((kind, name))
            if not fuse.is_whole:
                raise UnsupportedByBatch(f"fuse.{fuse.name} is open where the run begins, which is not modelled")
            if element is None:
                raise UnsupportedByBatch(f"fuse.{fuse.name} looks at {fuse.element}, whose current is not modelled")
            own = [k for k in range(len(element.nodes)) if element.nodes[k] >= 0]
            for conductor in range(fuse.n_phases):
                start.append(len(places))
                places += [place_of(int(element.nodes[k])) for k in own]
                y += [complex(element.yprim[conductor, k]) for k in own]
                self._of_row.append(fuse)
        self._places, self._start = np.array(places, dtype=np.int64), np.array(start, dtype=np.int64)
        self._y = np.array(y, dtype=np.complex128)[:, None]
        self._pickup_a = np.array([fuse.pickup_a for fuse in self._of_row])[:, None]
        # What a kernel looks at.
        self.fused = Fused(np.array([*start, len(places)]), self._places, self._y[:, 0], self._pickup_a[:, 0].copy())

    def __bool__(self) -> bool:
        """True if any may pick up."""
        return bool(self._of_row)

    def look(self, v: Floats, awake: Bools, *, at_rest: bool) -> None:
        """Look at the currents of the scenarios awake; `v` (place, 2, slot or more) are the sensed voltages (V).

        `at_rest`: their controls have come to rest and no time passes; a fuse that melts there ends the scenario.
        """
        slots = np.flatnonzero(awake)
        if not self or len(slots) == 0:
            return
        at = v[self._places[:, None], :, slots].transpose(0, 2, 1)
        current = np.add.reduceat(self._y * (at[:, 0] + 1j * at[:, 1]), self._start, axis=0)
        current_a = np.abs(current)
        for row, lane in zip(*np.nonzero(current_a >= self._pickup_a), strict=True):
            fuse = self._of_row[row]
            if at_rest:
                rows = [k for k, other in enumerate(self._of_row) if other is fuse]
                found = PickedUp.of_fuse(fuse, float(current_a[rows, lane].max())).failure
            else:
                found = Failure(FailureKind.PROTECTION_PICKS_UP, f"fuse.{fuse.name}")
            self._picked_up.setdefault(int(slots[lane]), found)

    def take_picked_up(self) -> list[tuple[int, Failure]]:
        """The scenarios in which a fuse has seen its pickup current since this was last asked, and what ends them."""
        taken = sorted(self._picked_up.items(), key=lambda entry: entry[0])
        self._picked_up.clear()
        return taken
