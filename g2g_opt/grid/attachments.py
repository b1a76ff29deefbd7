"""What hangs on a grid besides the feeder's own elements: sites, generators, loads and storage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from g2g_opt.datacenter.base import DatacenterBackend
from g2g_opt.errors import InputError
from g2g_opt.grid.profile import PowerProfile
from g2g_opt.grid.storage import EnergyStorage

Connection = Literal["wye", "delta"]

# Real power supplies draw constant power over a wide band; OpenDSS's own default of 0.95 to 1.05 does not (5.2).
CONSTANT_POWER_WINDOW_PU = (0.80, 1.20)


def check_connection(connection_type: str) -> Connection:
    """`wye` or `delta` in lower case, else `InputError`."""
    match connection_type.lower():
        case "wye":
            return "wye"
        case "delta":
            return "delta"
        case _:
            raise InputError(f"connection_type must be 'wye' or 'delta', got {connection_type!r}")


def tan_phi(power_factor: float) -> float:
    """kvar per kW at a lagging power factor in (0, 1]; `InputError` outside."""
    if not 0.0 < power_factor <= 1.0:
        raise InputError(f"power_factor must lie in (0, 1], got {power_factor}")
    return math.tan(math.acos(power_factor))


@dataclass(frozen=True, eq=False)
class Attachment:
    """Something drawing power on the three phases of a bus, as three single-phase injections."""

    name: str
    bus: str
    connection: Connection
    tan_phi: float
    window_pu: tuple[float, float]


@dataclass(frozen=True, eq=False)
class SiteAttachment(Attachment):
    """A datacenter."""

    datacenter: DatacenterBackend[Any]


@dataclass(frozen=True, eq=False)
class ProfileAttachment(Attachment):
    """A generator (`sign` -1) or an external load (+1); the profile gives kW per phase."""

    profile: PowerProfile
    sign: float


@dataclass(frozen=True, eq=False)
class StorageAttachment(Attachment):
    """A storage, balanced over the phases."""

    storage: EnergyStorage


class ProfileSeries:
    """Power of all profile attachments, evaluated a block of steps ahead where that is safe.

    A user's own profile that only gives `power_kw(t)` is asked at each step, because it may read the outside world.
    """

    _BLOCK_STEPS = 512

    def __init__(self, attachments: list[ProfileAttachment], dt_s: float) -> None:
        self._attachments = attachments
        self._dt_s = dt_s
        self._ahead = all(type(a.profile).power_series_kw is not PowerProfile.power_series_kw for a in attachments)
        self._block = np.empty((0, 3 * len(attachments)))
        self._first_s = 0.0

    def kw(self, time_s: float) -> NDArray[np.float64]:
        """Signed kW per injection (three per attachment) at `time_s`."""
        if not self._ahead:
            self._block = np.array([[x for a in self._attachments for x in [a.sign * a.profile.power_kw(time_s)] * 3]])
            row: NDArray[np.float64] = self._block[0]
            return row
        place = round((time_s - self._first_s) / self._dt_s)
        if not 0 <= place < len(self._block):
            times = time_s + self._dt_s * np.arange(self._BLOCK_STEPS)
            columns = [a.sign * a.profile.power_series_kw(times) for a in self._attachments]
            self._block = np.repeat(np.array(columns).T.reshape(len(times), -1), 3, axis=1)
            self._first_s, place = time_s, 0
        row = self._block[place]
        return row
