"""Profiles over time, evaluated ahead where that is safe."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from g2g_opt.grid.attachments import ProfileAttachment
from g2g_opt.grid.profile import PowerProfile

Floats = NDArray[np.float64]


class ProfileSeries:
    """Power of all profile attachments, evaluated a block of steps ahead where that is safe.

    A user's own profile that only gives `power_kw(t)` is asked at each step, because it may read the outside world.
    """

    _BLOCK_STEPS = 512

    def __init__(self, attachments: list[ProfileAttachment], dt_s: Fraction) -> None:
        self._attachments = attachments
        self._dt, self._dt_s = dt_s, float(dt_s)
        self._ahead = all(series_is_trusted(type(a.profile)) for a in attachments)
        self._block = np.empty((0, 3 * len(attachments)))
        self._first = 0

    @property
    def looks_ahead(self) -> bool:
        """True if every profile may be evaluated before its time."""
        return self._ahead

    def kw(self, time_s: Sequence[float]) -> Floats:
        """Signed kW at evenly spaced times, shape (time, injection), three injections per attachment."""
        if not self._ahead:
            each = [[a.sign * float(a.profile.power_kw(t)) for a in self._attachments] for t in time_s]
            return np.repeat(np.array(each), 3, axis=1)
        parts: list[Floats] = []
        wanted, n = round(time_s[0] / self._dt_s), len(time_s)
        while n > 0:
            place = wanted - self._first
            if not 0 <= place < len(self._block):
                self._evaluate(wanted)
                place = 0
            parts.append(self._block[place : place + n])
            wanted += len(parts[-1])
            n -= len(parts[-1])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _evaluate(self, first: int) -> None:
        """Fill the block from step `first` on."""
        times = (first + np.arange(self._BLOCK_STEPS)) * self._dt.numerator / self._dt.denominator
        columns = [a.sign * a.profile.power_series_kw(times) for a in self._attachments]
        self._block = np.repeat(np.array(columns).T.reshape(len(times), -1), 3, axis=1)
        self._first = first


def series_is_trusted(profile: type[PowerProfile]) -> bool:
    """True if `power_series_kw` is the profile's own, or at least as new as the `power_kw` it has to agree with."""

    def place(method: str) -> int:
        return next(i for i, cls in enumerate(profile.__mro__) if method in vars(cls))

    own = profile.power_series_kw is not PowerProfile.power_series_kw
    return own and place("power_series_kw") <= place("power_kw")
