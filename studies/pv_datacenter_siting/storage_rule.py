"""Storage beside PV by a rule that knows no future, and what a kW of it does through the year (equation 8.7).

At `discharge_from_h` o'clock storage that holds anything begins to discharge at rated power, until it is empty. At all
other times it charges at rated power in hours whose sun is above `charge_above`, until it is full. An hour in which it
gets empty or full counts with its mean power. What it holds is carried from hour to hour, from empty before the first.

A plant has at most `charge_above` times its size of storage (kW): whatever the sun, PV covers what is charged, and
nothing is drawn from the grid. All of this hangs on the past, the clock and the hour's own sun. So with a duration (kWh
of a kW) that is given, charge and discharge are fixed series, and plants take and give so many times their kW of
storage.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

# Rules that are tried where the question leaves them open: shares of PV's size, and hours of the day.
CHARGE_ABOVE, DISCHARGE_FROM_H = (0.2, 0.4, 0.6), (6, 17, 19)


@dataclass(frozen=True)
class StorageRule:
    """When storage charges (sun above this share of PV's size), and from which hour of the day it discharges."""

    charge_above: float
    discharge_from_h: int

    @property
    def share_max(self) -> float:
        """How many kW a kW of PV may have: no more than its sun gives wherever storage charges."""
        return self.charge_above

    def in_words(self) -> str:
        """What is to be done."""
        return (
            f"discharge at rated power from {self.discharge_from_h:02d}:00 until empty, and else charge at rated power "
            f"while the sun is above {100 * self.charge_above:g} % of PV's size, until full"
        )


@dataclass(frozen=True, eq=False)
class StorageYear:
    """What a kW of storage does by a rule: mean power (kW) charged and discharged in each hour, and kWh held after it.

    `duration_h` is the energy (kWh) of a kW, `efficiency` that of one way. All series have shape (hour,).
    """

    rule: StorageRule
    duration_h: float
    efficiency: float
    charge: Floats
    discharge: Floats
    content: Floats

    @property
    def share(self) -> Floats:
        """What it injects (hour,), negative while it charges."""
        return np.asarray(self.discharge - self.charge)


def run_rule(rule: StorageRule, sun: Floats, duration_h: float, efficiency: float) -> StorageYear:
    """Follow a rule through hours (hour,) that begin at midnight (equation 8.7)."""
    charge, discharge, content = np.zeros((3, len(sun)))
    held, gives = 0.0, False
    for t, level in enumerate(sun.tolist()):
        if t % 24 == rule.discharge_from_h:
            gives = held > 0.0
        if gives:
            discharge[t] = min(1.0, efficiency * held)
            gives = efficiency * held > 1.0
            held = held - 1.0 / efficiency if gives else 0.0
        elif level > rule.charge_above and held < duration_h:
            room = (duration_h - held) / efficiency
            charge[t] = min(1.0, room)
            held = held + efficiency if room > 1.0 else duration_h
        content[t] = held
    return StorageYear(rule, duration_h, efficiency, charge, discharge, content)


def rules_asked(charge_above: float | None, discharge_from_h: int | None) -> list[StorageRule]:
    """The rules that are tried, where a question fixes both figures, one of them, or none."""
    shares = CHARGE_ABOVE if charge_above is None else (charge_above,)
    hours = DISCHARGE_FROM_H if discharge_from_h is None else (discharge_from_h,)
    return [StorageRule(*one) for one in product(shares, hours)]
