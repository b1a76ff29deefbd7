"""Powers of everything attached, in the order of a circuit's injections: sites, then profiles, then storages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.datacenter.base import DatacenterBackend
from g2g_opt.grid.attachments import AttachmentBook
from g2g_opt.grid.profile_series import ProfileSeries
from g2g_opt.grid.storage_bank import StorageBank

Floats = NDArray[np.float64]


class InjectionPowers:
    """Turns sites' watts, profiles and storage dispatch into kW and kvar per injection (consumption positive)."""

    def __init__(self, book: AttachmentBook, dt_s: Fraction) -> None:
        self._sites = [a.datacenter for a in book.sites]
        n_sites, n_flows = 3 * len(book.sites), 3 * (len(book.sites) + len(book.profiles))
        self._site_columns = slice(0, n_sites)
        self._profile_columns = slice(n_sites, n_flows)
        self._flow_columns = slice(0, n_flows)
        self._storage_columns = slice(n_flows, n_flows + 3 * len(book.storages))
        self._tan_phi = np.repeat([a.tan_phi for a in (*book.sites, *book.profiles)], 3)
        self._series = ProfileSeries(book.profiles, dt_s) if book.profiles else None
        self._bank = StorageBank([a.storage for a in book.storages], float(dt_s)) if book.storages else None

    @property
    def known_ahead(self) -> bool:
        """True if nothing but the sites has a state: profiles can be evaluated ahead, and there is no storage."""
        return self._bank is None and (self._series is None or self._series.looks_ahead)

    def write(self, time_s: float, site_power_w: Sequence[Sequence[float]], kw: Floats, kvar: Floats) -> None:
        """Write one step's powers into `kw` and `kvar`; `site_power_w` holds each site's phases in order."""
        for i, power_w in enumerate(site_power_w):
            kw[3 * i : 3 * i + 3] = power_w
        kw[self._site_columns] *= 1e-3
        if self._series is not None:
            kw[self._profile_columns] = self._series.kw((time_s,))[0]
        np.multiply(kw[self._flow_columns], self._tan_phi, out=kvar[self._flow_columns])
        if self._bank is not None:
            storage_kw, storage_kvar = self._bank.dispatch(time_s)
            kw[self._storage_columns] = np.repeat(-storage_kw / 3.0, 3)
            kvar[self._storage_columns] = np.repeat(-storage_kvar / 3.0, 3)

    def block(self, time_s: Sequence[float], power_w: Mapping[DatacenterBackend[Any], Floats]) -> tuple[Floats, Floats]:
        """kW and kvar (step, injection) of many steps with the sites' powers (W) of shape (step, 3)."""
        kw = np.empty((len(time_s), len(self._tan_phi)))
        for i, datacenter in enumerate(self._sites):
            np.multiply(power_w[datacenter], 1e-3, out=kw[:, 3 * i : 3 * i + 3])
        if self._series is not None:
            kw[:, self._profile_columns] = self._series.kw(time_s)
        return kw, kw * self._tan_phi

    def settle(self, time_s: float) -> None:
        """The step was solved: storages take their energy."""
        if self._bank is not None:
            self._bank.settle(time_s)
