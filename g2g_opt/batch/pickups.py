"""`Pickups`: whether a fuse, recloser or current relay of the circuit sees a current from which on it may act, in all
scenarios of a batch.

What a device does from there on in time is not modelled. But one that never sees that much does nothing at all, so
that a run is whole without it: each is looked at after every solution, as OpenDSS samples its own. Where no time
passes they are held, as in `circuit/protection.py`, and looked at once the controls have come to rest; what a recloser
or relay does there is OpenDSS's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.own_controls_kernel import WatchedCurrents
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.circuit.breakers import BreakerSettings
from g2g_opt.circuit.fuses import FuseSettings
from g2g_opt.circuit.parts import LinearElement
from g2g_opt.circuit.protection import PickedUp
from g2g_opt.failure import Failure, FailureKind

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Pickups:
    """Fuses, reclosers and relays of all scenarios; `place_of` gives a node its place among the sensed voltages.

    Raises `UnsupportedByBatch` for a device that is open where runs begin, and for one that looks at something else
    than a line or another element whose admittances stay.
    """

    def __init__(
        self,
        fuses: Sequence[FuseSettings],
        elements: Mapping[tuple[str, str], LinearElement],
        place_of: Callable[[int], int],
        breakers: Sequence[BreakerSettings] = (),
    ) -> None:
        self._picked_up: dict[int, Failure] = {}
        self._of_row: list[FuseSettings | BreakerSettings] = []
        pickup_a: list[float] = []
        places: list[int] = []
        y: list[complex] = []
        start: list[int] = []
        rows: list[tuple[FuseSettings | BreakerSettings, LinearElement, NDArray[np.complex128], float]] = []
        for fuse in fuses:
            if np.isinf(fuse.pickup_a):
                continue
            element = _watched(f"fuse.{fuse.name}", fuse.element, elements, is_closed=fuse.is_whole)
            rows += [(fuse, element, element.yprim[conductor], fuse.pickup_a) for conductor in range(fuse.n_phases)]
        for breaker in breakers:
            element = _watched(breaker.device, breaker.element, elements, is_closed=breaker.is_closed)
            of_phases = element.yprim[breaker.first : breaker.first + breaker.n_phases]
            rows += [(breaker, element, of_phase, breaker.phase_a) for of_phase in of_phases]
            rows.append((breaker, element, of_phases.sum(axis=0), breaker.ground_a))
        for device, element, admittances, least_a in rows:
            if not np.isinf(least_a):
                own = [k for k in range(len(element.nodes)) if element.nodes[k] >= 0]
                start.append(len(places))
                places += [place_of(int(element.nodes[k])) for k in own]
                y += [complex(admittances[k]) for k in own]
                self._of_row.append(device)
                pickup_a.append(least_a)
        self._places, self._start = np.array(places, dtype=np.int64), np.array(start, dtype=np.int64)
        self._y = np.array(y, dtype=np.complex128)[:, None]
        self._pickup_a = np.array(pickup_a)[:, None]
        # What a kernel looks at.
        self.watched = WatchedCurrents(
            np.array([*start, len(places)]), self._places, self._y[:, 0], self._pickup_a[:, 0].copy()
        )

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
            device = self._of_row[row]
            if isinstance(device, BreakerSettings):
                found = Failure(FailureKind.PROTECTION_PICKS_UP, device.device)
            elif at_rest:
                rows = [k for k, other in enumerate(self._of_row) if other is device]
                found = PickedUp.of_fuse(device, float(current_a[rows, lane].max())).failure
            else:
                found = Failure(FailureKind.PROTECTION_PICKS_UP, f"fuse.{device.name}")
            self._picked_up.setdefault(int(slots[lane]), found)

    def take_picked_up(self) -> list[tuple[int, Failure]]:
        """The scenarios in which a device has seen its pickup current since this was last asked, and what ends them."""
        taken = sorted(self._picked_up.items(), key=lambda entry: entry[0])
        self._picked_up.clear()
        return taken


def _watched(
    device: str, watched: str, elements: Mapping[tuple[str, str], LinearElement], *, is_closed: bool
) -> LinearElement:
    """What a device looks at."""
    kind, _, name = watched.partition(".")
    element = elements.get((kind, name))
    if not is_closed:
        raise UnsupportedByBatch(f"{device} is open where the run begins, which is not modelled")
    if element is None:
        raise UnsupportedByBatch(f"{device} looks at {watched}, whose current is not modelled")
    return element
