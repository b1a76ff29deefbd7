"""AC power flows of dispatches on a transmission network, and of what is left of it after the outage of a branch.

Loads keep their power, generators in service hold their voltage within their reactive limits (but at buses of type 1).
A DC dispatch knows no losses (the published study's remark on (24)): all generators give them together, each by its
share of what they could all give more, so that no limit breaks because one bus alone has to make them good.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array
from scipy.sparse.csgraph import connected_components

from g2g_opt.errors import InputError
from g2g_opt.transmission.ac_power_flow import POWER_TOLERANCE_MW, AcPowerFlow
from g2g_opt.transmission.network_case import (
    ANGLE,
    BUS_TYPE,
    CHARGING,
    GEN_BUS,
    GEN_MVAR,
    HOLDS_VOLTAGE,
    MVAR_MAX,
    MVAR_MIN,
    POWER_MAX,
    POWER_MIN,
    RATIO,
    REACTANCE,
    RESISTANCE,
    SET_POINT,
    SHUNT_MVAR,
    SHUNT_MW,
    VOLTAGE,
    VOLTAGE_ANGLE,
    VOLTAGE_MAX,
    VOLTAGE_MIN,
    NetworkCase,
    angle_limits_deg,
)
from g2g_opt.transmission.newton import Newton

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Complexes = NDArray[np.complex128]

_ROUNDS_MAX = 20
# Reactive limits beyond this are none (Mvar).
_MVAR_ENDLESS = 1e5
# A branch without impedance (a bus bar) has so much reactance (pu): angles of 1e-6 rad, below any tolerance here.
_BAR_PU = 1e-6


@dataclass(frozen=True, eq=False)
class _State:
    """A power flow that converged: phasors (bus,), what buses' generators give (bus,), and generators (generator,)."""

    phasor_pu: Complexes
    given_mva: Complexes
    power_mw: Floats


class AcNetwork:
    """A case made ready for AC power flows, one after the other.

    Raises `InputError` if the case lacks what an AC power flow takes.
    """

    def __init__(self, case: NetworkCase) -> None:
        if reason := case.lacks_for_ac:
            raise InputError(f"network {case.name}: an AC power flow would mean nothing: {reason}")
        self.case = case
        bus, gen = case.bus, case.gen
        n = len(bus)
        self._at_bus = case.places(gen[:, GEN_BUS])
        self._at_reference = self._at_bus == case.reference
        self._from, self._to = case.ends
        self._ends = _branch_admittances(case.branch)
        self._shunt = (bus[:, SHUNT_MW] + 1j * bus[:, SHUNT_MVAR]) / case.base_mva
        self._newton = Newton(self._admittance(), case.reference)
        has_generator = np.bincount(self._at_bus, minlength=n) > 0
        # A bus of type 3 without a generator, from which the reference was moved away, holds no voltage.
        self._holds = (bus[:, BUS_TYPE] == HOLDS_VOLTAGE) & has_generator
        self._holds[case.reference] = False
        self._mvar_max, self._mvar_min = (
            np.clip(gen[:, column], -_MVAR_ENDLESS, _MVAR_ENDLESS) for column in (MVAR_MAX, MVAR_MIN)
        )
        turned = np.exp(1j * np.deg2rad(bus[:, VOLTAGE_ANGLE]))
        self._begin: Complexes = np.asarray(bus[:, VOLTAGE] * turned, dtype=np.complex128)

    def solve(self, power_mw: Floats, load_mw: Floats, load_mvar: Floats) -> AcPowerFlow:
        """The power flow with generators at `power_mw` (generator,), and what losses ask beyond it, and loads (bus,).

        Raises `InputError` if shapes do not fit.
        """
        for name, array, n in (
            ("power_mw", power_mw, len(self.case.gen)),
            ("load_mw", load_mw, len(self.case.bus)),
            ("load_mvar", load_mvar, len(self.case.bus)),
        ):
            if array.shape != (n,):
                raise InputError(f"{name} has shape {array.shape}, the network asks for ({n},)")
        return self._flow(self._newton, self._begin, power_mw, _mva(load_mw, load_mvar), None)

    def solve_outage(self, before: AcPowerFlow, load_mw: Floats, load_mvar: Floats, branch: int) -> AcPowerFlow:
        """What the power flow `before`, with the same loads, becomes without a branch of `outages`.

        Generators give what they gave, and share what losses are more or less; those that had run out of reactive power
        may hold their voltage again. Loadings (NaN for the branch) are shares of emergency ratings.
        """
        newton = Newton(self._admittance(branch), self.case.reference)
        return self._flow(newton, before.phasor_pu, before.power_mw, _mva(load_mw, load_mvar), branch)

    @cached_property
    def outages(self) -> Ints:
        """Branches (outage,) without which the network is still one: no power flow tells what becomes of two parts."""
        n = len(self.case.bus)
        kept = []
        for branch in range(len(self.case.branch)):
            rest = np.arange(len(self.case.branch)) != branch
            links = csc_array((np.ones(rest.sum()), (self._from[rest], self._to[rest])), shape=(n, n))
            if connected_components(links, directed=False, return_labels=False) == 1:
                kept.append(branch)
        return np.array(kept, dtype=np.int64)

    def _admittance(self, without: int | None = None) -> csc_array:
        """Admittances (bus, bus) in pu, without a branch."""
        n, start, end = len(self.case.bus), self._from, self._to
        kept = np.arange(len(start)) != (-1 if without is None else without)
        places = np.arange(n)
        rows = np.concatenate([start[kept], start[kept], end[kept], end[kept], places])
        columns = np.concatenate([start[kept], end[kept], start[kept], end[kept], places])
        values = np.concatenate([*(part[kept] for part in self._ends), self._shunt])
        return csc_array((values, (rows, columns)), shape=(n, n))

    def _flow(
        self, newton: Newton, begin: Complexes, power_mw: Floats, load_mva: Complexes, without: int | None
    ) -> AcPowerFlow:
        bus = self.case.bus
        found, excess = self._with_losses(newton, begin, power_mw, load_mva)
        if found is None:
            return AcPowerFlow.without_solution(len(bus), len(self.case.branch), len(self.case.gen))
        own, there = found.phasor_pu[self._from], found.phasor_pu[self._to]
        yff, yft, ytf, ytt = self._ends
        sent = own * np.conj(yff * own + yft * there) * self.case.base_mva
        received = there * np.conj(ytf * own + ytt * there) * self.case.base_mva
        rating = self.case.rating_mva if without is None else self.case.emergency_rating_mva
        in_service = np.arange(len(rating)) != (-1 if without is None else without)
        apparent = np.maximum(np.abs(sent), np.abs(received))
        voltage = np.abs(found.phasor_pu)
        return AcPowerFlow(
            True,
            voltage,
            np.where(np.isfinite(rating) & in_service, apparent / rating, np.nan),
            float(np.maximum(voltage - bus[:, VOLTAGE_MAX], bus[:, VOLTAGE_MIN] - voltage).max()),
            excess,
            float((sent + received).real[in_service].sum()),
            found.phasor_pu,
            found.power_mw,
            self._angle_outside_deg(own, there, in_service),
        )

    def _angle_outside_deg(self, own: Complexes, there: Complexes, in_service: Bools) -> float:
        low, high = angle_limits_deg(self.case.branch)
        angle = np.rad2deg(np.angle(own * np.conj(there)))
        outside = np.maximum(low - angle, angle - high)[in_service]
        return float(outside.max(initial=-np.inf))

    def _with_losses(
        self, newton: Newton, begin: Complexes, power_mw: Floats, load_mva: Complexes
    ) -> tuple[_State | None, float]:
        """The power flow in which generators give the losses by their shares, and what they cannot give (MW).

        None if a power flow does not converge.
        """
        gen, power = self.case.gen, power_mw.astype(np.float64)
        holds, mvar = self._holds.copy(), gen[:, GEN_MVAR].copy()
        beyond = 0.0
        for _ in range(_ROUNDS_MAX):
            found = self._within_reactive_limits(newton, begin, power, load_mva, holds, mvar)
            if found is None:
                return None, np.nan
            # What the reference bus gives beyond its generators' own shares.
            lacking = float(found.given_mva[self.case.reference].real - power[self._at_reference].sum())
            if abs(lacking - beyond) <= 0.1 * POWER_TOLERANCE_MW:
                return found, beyond
            room = gen[:, POWER_MAX if lacking > 0.0 else POWER_MIN] - power
            room = np.maximum(room, 0.0) if lacking > 0.0 else np.minimum(room, 0.0)
            share = min(lacking / room.sum(), 1.0) if room.any() else 0.0
            power = power + share * room
            beyond = lacking - float(room.sum()) if share >= 1.0 or not room.any() else 0.0
            # The next power flow begins where this one ended.
            begin = found.phasor_pu
        return None, np.nan

    def _within_reactive_limits(
        self, newton: Newton, begin: Complexes, power_mw: Floats, load_mva: Complexes, holds: Bools, mvar: Floats
    ) -> _State | None:
        """The power flow in which buses whose generators run out of reactive power no longer hold their voltage.

        Those are struck from `holds` (bus,), their generators' `mvar` (generator,) is their limit. Of the reference
        bus, reactive power is what it must be. None if a power flow does not converge.
        """
        n, at_bus, base = len(holds), self._at_bus, self.case.base_mva
        # At load buses set points are where the method begins, as in MATPOWER.
        begin = begin.copy()
        begin[at_bus] *= self.case.gen[:, SET_POINT] / np.abs(begin[at_bus])
        most, least = (np.bincount(at_bus, limit, n) for limit in (self._mvar_max, self._mvar_min))
        for _ in range(_ROUNDS_MAX):
            injected = np.bincount(at_bus, power_mw, n) + 1j * np.bincount(at_bus, mvar, n) - load_mva
            phasor = newton.solve(injected / base, begin, holds)
            if phasor is None:
                return None
            given = phasor * np.conj(newton.admittance_pu @ phasor) * base + load_mva
            over = holds & (given.imag > most + POWER_TOLERANCE_MW)
            under = holds & (given.imag < least - POWER_TOLERANCE_MW)
            if not (over | under).any():
                return _State(phasor, given, power_mw)
            for spent, limit in ((over, self._mvar_max), (under, self._mvar_min)):
                holds[spent] = False
                stuck = spent[at_bus]
                mvar[stuck] = limit[stuck]
        return None


def _mva(active_mw: Floats, reactive_mvar: Floats) -> Complexes:
    return np.asarray(active_mw + 1j * reactive_mvar, dtype=np.complex128)


def _branch_admittances(branch: Floats) -> tuple[Complexes, Complexes, Complexes, Complexes]:
    """Of branches (branch,), in pu: from-from, from-to, to-from and to-to; the tap is at the from side."""
    bar = (branch[:, RESISTANCE] == 0.0) & (branch[:, REACTANCE] == 0.0)
    series = 1.0 / (branch[:, RESISTANCE] + 1j * np.where(bar, _BAR_PU, branch[:, REACTANCE]))
    tap = np.where(branch[:, RATIO] == 0.0, 1.0, branch[:, RATIO]) * np.exp(1j * np.deg2rad(branch[:, ANGLE]))
    own = series + 0.5j * branch[:, CHARGING]
    return own / np.abs(tap) ** 2, -series / np.conj(tap), -series / tap, own
