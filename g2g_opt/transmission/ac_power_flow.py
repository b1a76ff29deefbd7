"""AC power flow of a dispatch on a transmission network; the only file that calls PYPOWER.

Loads keep their power, generators in service hold their voltage within their reactive limits (but at buses of type 1).
A DC dispatch knows no losses (the published study's remark on (24)): all generators give them together, each by its
share of what they could all give more, so that no limit breaks because one bus alone has to make them good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pypower.api import ppoption, runpf

from g2g_opt.errors import InputError
from g2g_opt.transmission.network_case import (
    BUS_TYPE,
    GEN_BUS,
    HOLDS_VOLTAGE,
    LOAD_BUS,
    LOAD_MVAR,
    LOAD_MW,
    MVAR_MAX,
    MVAR_MIN,
    POWER_MAX,
    POWER_MIN,
    REACTANCE,
    REFERENCE,
    RESISTANCE,
    VOLTAGE_MAX,
    VOLTAGE_MIN,
    NetworkCase,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Columns of PYPOWER's results, and of a generator's dispatch.
_GEN_MW, _GEN_MVAR, _VOLTAGE, _VOLTAGE_ANGLE = 1, 2, 7, 8
_FROM_MW, _FROM_MVAR, _TO_MW, _TO_MVAR = 13, 14, 15, 16
# The library's own enforcement of reactive limits fails on numpy's index rules; ours is in `_within_reactive_limits`.
_OPTIONS = ppoption(VERBOSE=0, OUT_ALL=0, ENFORCE_Q_LIMS=0)
_ROUNDS_MAX = 20

# By how much a limit may be missed: a solver's rounding, and what nobody's meter shows.
VOLTAGE_TOLERANCE_PU, LOADING_TOLERANCE, POWER_TOLERANCE_MW = 1e-4, 1e-3, 0.1
# By how much more it must be missed to be told apart: pu, share of the rating, MW.
_FURTHER = (1e-3, 1e-2, 1.0)
# Reactive limits beyond this are none (Mvar).
_MVAR_ENDLESS = 1e5
# A branch without impedance (a bus bar) has so much reactance (pu): angles of 1e-6 rad, below any tolerance here.
_BAR_PU = 1e-6


@dataclass(frozen=True, eq=False)
class AcPowerFlow:
    """One AC power flow: voltages (bus,) in pu, `loading` (branch,) as a share of the rating (NaN where there is none).

    `outside_pu` is the most by which a voltage misses its band; `excess_mw` what all generators together would have to
    give beyond their limits (or below, negative); `loss_mw` of all branches. Without convergence there are no figures
    but NaN.
    """

    converged: bool
    voltage_pu: Floats
    loading: Floats
    outside_pu: float
    excess_mw: float
    loss_mw: float

    @property
    def broken(self) -> tuple[str, ...]:
        """What this power flow breaks: "no solution", "voltage", "loading", "losses"; nothing if all limits hold."""
        if not self.converged:
            return ("no solution",)
        names = ("voltage", "loading", "losses")
        tolerances = (VOLTAGE_TOLERANCE_PU, LOADING_TOLERANCE, POWER_TOLERANCE_MW)
        # As a question that a NaN does not pass.
        kept = (miss <= tolerance for miss, tolerance in zip(self.misses, tolerances, strict=True))
        return tuple(name for name, is_kept in zip(names, kept, strict=True) if not is_kept)

    @property
    def loading_max(self) -> float | None:
        """The highest loading of a branch that has a rating; None if none has, or without convergence."""
        rated = self.loading[~np.isnan(self.loading)]
        return float(rated.max()) if len(rated) else None

    @property
    def misses(self) -> tuple[float, float, float]:
        """By how much voltages (pu), loadings (share of the rating) and generators (MW) miss their limits."""
        loading = 0.0 if self.loading_max is None else self.loading_max
        return max(self.outside_pu, 0.0), max(loading - 1.0, 0.0), abs(self.excess_mw)

    def breaks_more_than(self, other: AcPowerFlow) -> bool:
        """Does it break a kind of limit that `other` keeps, or one clearly further? No, if `other` has no solution."""
        if not other.converged:
            return False
        if not self.converged:
            return True
        further = (
            miss > before + margin for miss, before, margin in zip(self.misses, other.misses, _FURTHER, strict=True)
        )
        return bool(set(self.broken) - set(other.broken)) or any(further)


def solve_ac_power_flow(case: NetworkCase, power_mw: Floats, load_mw: Floats, load_mvar: Floats) -> AcPowerFlow:
    """The power flow with generators at `power_mw` (generator,), and what losses ask beyond it, and loads (bus,).

    Raises `InputError` if shapes do not fit or the case lacks what an AC power flow takes.
    """
    if reason := case.lacks_for_ac:
        raise InputError(f"network {case.name}: an AC power flow would mean nothing: {reason}")
    for name, array, n in (("power_mw", power_mw, len(case.gen)), ("load_mw", load_mw, len(case.bus))):
        if array.shape != (n,):
            raise InputError(f"{name} has shape {array.shape}, the network asks for ({n},)")
    bus, gen = case.bus[:, :13].copy(), _wide(case.gen, 21)
    bus[:, LOAD_MW], bus[:, LOAD_MVAR] = load_mw, load_mvar
    bus[bus[:, BUS_TYPE] == REFERENCE, BUS_TYPE] = LOAD_BUS
    bus[case.reference, BUS_TYPE] = REFERENCE
    gen[:, _GEN_MW] = power_mw
    gen[:, [MVAR_MAX, MVAR_MIN]] = np.clip(gen[:, [MVAR_MAX, MVAR_MIN]], -_MVAR_ENDLESS, _MVAR_ENDLESS)
    branch = _wide(case.branch, 13)
    bar = (branch[:, RESISTANCE] == 0.0) & (branch[:, REACTANCE] == 0.0)
    branch[bar, REACTANCE] = _BAR_PU
    tables = {"version": "2", "baseMVA": case.base_mva, "bus": bus, "gen": gen, "branch": branch}
    found, excess = _with_losses(tables, case)
    if found is None:
        nothing = np.full(len(case.branch), np.nan)
        return AcPowerFlow(False, np.full(len(case.bus), np.nan), nothing, np.nan, np.nan, np.nan)
    voltage, flow = found["bus"][:, _VOLTAGE], found["branch"]
    apparent = np.maximum(
        np.hypot(flow[:, _FROM_MW], flow[:, _FROM_MVAR]), np.hypot(flow[:, _TO_MW], flow[:, _TO_MVAR])
    )
    rating = case.rating_mva
    loading = np.where(np.isfinite(rating), apparent / rating, np.nan)
    return AcPowerFlow(
        True,
        voltage,
        loading,
        float(np.maximum(voltage - bus[:, VOLTAGE_MAX], bus[:, VOLTAGE_MIN] - voltage).max()),
        excess,
        float((flow[:, _FROM_MW] + flow[:, _TO_MW]).sum()),
    )


def _with_losses(tables: dict[str, Any], case: NetworkCase) -> tuple[dict[str, Any] | None, float]:
    """The power flow in which generators give the losses by their shares, and what they cannot give (MW).

    None if a power flow does not converge.
    """
    gen, at_bus = tables["gen"], case.places(case.gen[:, GEN_BUS])
    at_reference = at_bus == case.reference
    beyond = 0.0
    for _ in range(_ROUNDS_MAX):
        found = _within_reactive_limits(tables, at_bus)
        if found is None:
            return None, np.nan
        # What the reference bus gives beyond its generators' own shares.
        lacking = float(found["gen"][at_reference, _GEN_MW].sum() - gen[at_reference, _GEN_MW].sum())
        if abs(lacking - beyond) <= 0.1 * POWER_TOLERANCE_MW:
            return found, beyond
        limit = POWER_MAX if lacking > 0.0 else POWER_MIN
        room = case.gen[:, limit] - gen[:, _GEN_MW]
        room = np.maximum(room, 0.0) if lacking > 0.0 else np.minimum(room, 0.0)
        share = min(lacking / room.sum(), 1.0) if room.any() else 0.0
        gen[:, _GEN_MW] += share * room
        beyond = lacking - float(room.sum()) if share >= 1.0 or not room.any() else 0.0
        # The next power flow begins where this one ended.
        tables["bus"][:, [_VOLTAGE, _VOLTAGE_ANGLE]] = found["bus"][:, [_VOLTAGE, _VOLTAGE_ANGLE]]
    return None, np.nan


def _within_reactive_limits(tables: dict[str, Any], at_bus: Ints) -> dict[str, Any] | None:
    """The power flow in which buses whose generators run out of reactive power no longer hold their voltage.

    Of the reference bus, reactive power is what it must be. None if a power flow does not converge.
    """
    bus, gen = tables["bus"], tables["gen"]
    n = len(bus)
    for _ in range(_ROUNDS_MAX):
        with np.errstate(all="ignore"):
            found, converged = runpf(tables, _OPTIONS)  # which works on a copy
        if not converged or not np.isfinite(found["bus"][:, _VOLTAGE]).all():
            return None
        given, most, least = (
            np.bincount(at_bus, values, n)
            for values in (found["gen"][:, _GEN_MVAR], gen[:, MVAR_MAX], gen[:, MVAR_MIN])
        )
        holds = bus[:, BUS_TYPE] == HOLDS_VOLTAGE
        over, under = holds & (given > most + POWER_TOLERANCE_MW), holds & (given < least - POWER_TOLERANCE_MW)
        if not (over | under).any():
            return dict(found)
        for spent, limit in ((over, MVAR_MAX), (under, MVAR_MIN)):
            bus[spent, BUS_TYPE] = LOAD_BUS
            stuck = spent[at_bus]
            gen[stuck, _GEN_MVAR] = gen[stuck, limit]
    return None


def _wide(table: Floats, n_columns: int) -> Floats:
    """A table with at least so many columns; the format's last ones may be missing."""
    wide = np.zeros((len(table), max(n_columns, table.shape[1])))
    wide[:, : table.shape[1]] = table
    return wide
