"""What hangs on the grids of a batch, and what it draws in every step: sites, profiles, storages, shares of loads."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.attached_kernel import AttachedPowers, FollowedShares, write_powers
from g2g_opt.batch.own_controls import OwnControls
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.batch.unit_series import UnitSeries, followers
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.compiled.lanes import WIDTH
from g2g_opt.compiled.program import DONE, Part
from g2g_opt.compiled.records import pack
from g2g_opt.grid.profile import PowerProfile
from g2g_opt.grid.profile_series import series_is_trusted
from g2g_opt.grid.setup import GridSetup
from g2g_opt.grid.storage_bank import StorageBank

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Steps that are laid out at a time, and values of shares at the most: a circuit may have a shape for every load.
_SERIES_STEPS, _SERIES_VALUES = 512, 2_000_000


class Attached:
    """Attachments of all scenarios of a batch; `has_failed` marks those (`n_failed` in all) that draw nothing any more.

    Raises `UnsupportedByBatch` for what is not modelled.
    """

    def __init__(
        self,
        setups: Sequence[GridSetup],
        flow: BatchPowerFlow,
        dt_s: Fraction,
        commands: tuple[str, ...],
        has_failed: NDArray[np.bool_],
        n_failed: Ints,
        own: OwnControls | None,
    ) -> None:
        self._flow, self._network, self._dt_s = flow, flow.network, dt_s
        self._has_failed, self._n_failed, self._own = has_failed, n_failed, own
        sites = [(slot, k, a.tan_phi) for slot, s in enumerate(setups) for k, a in enumerate(s.attached.sites)]
        self.fleet_slot = np.array([slot for slot, _, _ in sites], dtype=np.int64)
        self.fleet_port = np.array([3 * k for _, k, _ in sites], dtype=np.int64)
        self._site_places = self._three_phases(self.fleet_port, self.fleet_slot)
        self.site_tan_phi = np.repeat([tan_phi for _, _, tan_phi in sites], 3)
        self._read_profiles(setups)
        self._read_shares(setups, commands, own)
        storages = [
            (slot, 3 * (len(s.attached.sites) + len(s.attached.profiles) + k), a)
            for slot, s in enumerate(setups)
            for k, a in enumerate(s.attached.storages)
        ]
        self.storages = [a.storage for _, _, a in storages]
        self._storage_slot = np.array([slot for slot, _, _ in storages], dtype=np.int64)
        first_port = np.array([port for _, port, _ in storages], dtype=np.int64)
        self._storage_places = self._three_phases(first_port, self._storage_slot)
        if len({id(s) for s in self.storages}) < len(self.storages):
            raise UnsupportedByBatch("a storage object hangs on several grids")
        self.bank = StorageBank(self.storages, float(dt_s)) if storages else None
        self._site_w = np.zeros((len(sites), 3))
        self._packed = pack(self._powers(self._site_w))

    # --- building

    def _three_phases(self, port: Ints, slot: Ints) -> tuple[Ints, Ints]:
        """Places of W and var of an attachment's three ports, phase after phase, from its first one on."""
        return self._flow.power_places((port[:, None] + np.arange(3)).reshape(-1), np.repeat(slot, 3))

    def _read_profiles(self, setups: Sequence[GridSetup]) -> None:
        """Every different profile once, and which (port, slot) draw it with which sign."""
        kinds: dict[Hashable, int] = {}
        self._profiles: list[PowerProfile] = []
        places: list[tuple[int, int, int, float, float]] = []
        for slot, setup in enumerate(setups):
            for k, attachment in enumerate(setup.attached.profiles):
                profile = attachment.profile
                if not series_is_trusted(type(profile)):
                    raise UnsupportedByBatch(f"profile {type(profile).__name__} can only be asked step by step")
                key = _profile_key(profile)
                if key not in kinds:
                    kinds[key] = len(self._profiles)
                    self._profiles.append(profile)
                port = 3 * (len(setup.attached.sites) + k)
                places.append((port, slot, kinds[key], 1e3 * attachment.sign, attachment.tan_phi))
        ports, slots, kind = (np.array([row[k] for row in places], dtype=np.int64) for k in range(3))
        self._profile_places = self._three_phases(ports, slots)
        self._profile_kind = np.repeat(kind, 3)
        self._profile_sign, self._profile_tan_phi = (np.repeat([row[k] for row in places], 3) for k in (3, 4))

    def _read_shares(self, setups: Sequence[GridSetup], commands: tuple[str, ...], own: OwnControls | None) -> None:
        """Every different series of the circuit's own loads and units once, and which slots follow it."""
        self._load_series, slots, kind = followers([s.own_load_share for s in setups])
        shapes = self._network.load_shapes
        self._may_be_silent = any(one.least <= 0.0 for one in self._load_series)
        self._load_shares = self._flow.load_share.reshape(self._flow.n_chunks, -1, WIDTH)
        steered = own.inverters.elements if own is not None else ()
        self._units = UnitSeries(commands, self._network, [s.own_sun_share for s in setups], steered)
        n_values = len(self._load_series) * len(shapes) + self._units.n_values
        n_steps = max(1, min(_SERIES_STEPS, _SERIES_VALUES // max(1, n_values)))
        self._followed = (
            FollowedShares(
                np.zeros((n_steps, len(self._load_series), len(shapes))), slots, kind, np.arange(len(shapes))
            ),
            self._units.followed(n_steps),
        )
        self._series, self._span = np.zeros((n_steps, len(self._profiles))), np.zeros(2, dtype=np.int64)

    def _powers(self, site_w: Floats) -> AttachedPowers:
        """The record of powers of sites, in the array `site_w` (fleet, 3), and of profiles."""
        return AttachedPowers(
            site_w,
            *self._site_places,
            np.array(self.site_tan_phi, dtype=np.float64),
            self._series,
            self._span,
            self._profile_kind,
            np.array(self._profile_sign, dtype=np.float64),
            *self._profile_places,
            np.array(self._profile_tan_phi, dtype=np.float64),
            self._has_failed,
            self._n_failed,
            self._flow.power.reshape(-1),
            self._flow.power,
            *self._followed,
            self._load_shares,
        )

    # --- stepping

    @property
    def is_plain(self) -> bool:
        """Is all of a step written, and nothing left to do after its solution, without Python?"""
        steers = self._own is not None and self._own.steers
        return not (steers or self._may_be_silent or self.bank is not None)

    def write(self, step: int, time_s: float, fleet_w: Floats) -> None:
        """Powers and shares of a step into the flow, the sites' as in `fleet_w` (fleet, 3), W."""
        self._site_w[:] = fleet_w
        self._write(step, time_s, self._packed.address)

    def part(self, fleet_w: Floats, time_s: Callable[[int], float]) -> Part:
        """`write` as a part of a compiled step, with the powers that stand in the array `fleet_w`."""
        packed = pack(self._powers(fleet_w))

        def write(step: int, code: int) -> None:
            self._write(step, time_s(step), packed.address)

        return Part(write, write_powers if self.is_plain else None, packed)

    def _write(self, step: int, time_s: float, address: int) -> None:
        """Powers and shares of a step into the flow, with the sites' as in the record at an address."""
        power = self._flow.power.reshape(-1)
        if write_powers(address, step) != DONE:
            self._lay_out(step)
            write_powers(address, step)
        if self._own is not None and self._own.steers:
            self._own.inverters.begin(self._units.panel_kw(time_s), self._load_shares)
        if self.bank is not None:
            kw, kvar = self.bank.dispatch(time_s)
            power[self._storage_places[0]] = np.repeat(-1e3 * kw / 3.0, 3)
            power[self._storage_places[1]] = np.repeat(-1e3 * kvar / 3.0, 3)
            self._switch_off()

    def _switch_off(self) -> None:
        """Take the power of scenarios that have failed."""
        by_lane = self._flow.power.reshape(self._flow.n_chunks, -1, WIDTH)
        for slot in np.flatnonzero(self._has_failed).tolist():
            by_lane[slot // WIDTH, :, slot % WIDTH] = 0.0

    def _lay_out(self, step: int) -> None:
        """Powers of profiles, and shares that follow time, from a step on."""
        n_steps, (loads, units) = len(self._series), self._followed
        times = np.arange(step, step + n_steps) * self._dt_s.numerator / self._dt_s.denominator
        for k, profile in enumerate(self._profiles):
            self._series[:, k] = profile.power_series_kw(times)
        for k, series in enumerate(self._load_series):
            loads.table[:, k] = series.of(self._network.load_shapes, times)
        self._units.lay_out(times, units)
        self._span[:] = step, step + n_steps

    def serve_silent_loads(self) -> None:
        """Loads that ask for nothing are served all of it."""
        if self._may_be_silent:
            of_loads = self._load_shares[:, : len(self._network.load_shapes)]
            silent = of_loads.max(axis=1).reshape(-1) <= 0.0
            self._flow.solutions.own_share[silent] = 1.0

    def storages_of(self, slot: int) -> Ints:
        """Places of a scenario's storages in the bank."""
        return np.flatnonzero(self._storage_slot == slot)


def _profile_key(profile: PowerProfile) -> Hashable:
    """Equal for profiles that are the same function of time; the object itself where that cannot be told."""
    figures = tuple(
        (name, value.tobytes() if isinstance(value, np.ndarray) else value)
        for name, value in sorted(vars(profile).items())
    )
    try:
        hash(figures)
    except TypeError:
        return id(profile)
    return (type(profile), figures)
