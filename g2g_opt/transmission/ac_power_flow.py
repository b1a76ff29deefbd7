"""AC power flow of a dispatch on a transmission network; the only file that calls PYPOWER.

Loads and generators keep their active power, generators in service hold their voltage within their reactive limits
(but at buses of type 1), and the reference bus makes good the losses: what a DC dispatch leaves open (the published
study's remark on (24)).
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
    LOAD_MVAR,
    LOAD_MW,
    MVAR_MAX,
    MVAR_MIN,
    POWER_MAX,
    POWER_MIN,
    RATING,
    VOLTAGE_MAX,
    VOLTAGE_MIN,
    NetworkCase,
)

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Columns of PYPOWER's results, and of a generator's dispatch.
_GEN_MW, _GEN_MVAR, _VOLTAGE = 1, 2, 7
_FROM_MW, _FROM_MVAR, _TO_MW, _TO_MVAR = 13, 14, 15, 16
_LOAD_BUS, _HOLDS_VOLTAGE = 1, 2
# The library's own enforcement of reactive limits fails on numpy's index rules; ours is in `_within_reactive_limits`.
_OPTIONS = ppoption(VERBOSE=0, OUT_ALL=0, ENFORCE_Q_LIMS=0)
_ROUNDS_MAX = 20

# By how much a limit may be missed: a solver's rounding, and what nobody's meter shows.
VOLTAGE_TOLERANCE_PU, LOADING_TOLERANCE, POWER_TOLERANCE_MW = 1e-4, 1e-3, 0.1
# By how much more it must be missed to be told apart: pu, share of the rating, MW.
_FURTHER = (1e-3, 1e-2, 1.0)
# Reactive limits beyond this are none (Mvar).
_MVAR_ENDLESS = 1e5


@dataclass(frozen=True, eq=False)
class AcPowerFlow:
    """One AC power flow: voltages (bus,) in pu, `loading` (branch,) as a share of the rating (0 where there is none).

    `outside_pu` is the most by which a voltage misses its band; `slack_excess_mw` what the generators of the reference
    bus would have to give beyond their limits (or below, negative); `loss_mw` of all branches. Without convergence
    there are no figures but NaN.
    """

    converged: bool
    voltage_pu: Floats
    loading: Floats
    outside_pu: float
    slack_excess_mw: float
    loss_mw: float

    @property
    def broken(self) -> tuple[str, ...]:
        """What this power flow breaks: "no solution", "voltage", "loading", "reference"; nothing if all limits hold."""
        if not self.converged:
            return ("no solution",)
        names = ("voltage", "loading", "reference")
        tolerances = (VOLTAGE_TOLERANCE_PU, LOADING_TOLERANCE, POWER_TOLERANCE_MW)
        # As a question that a NaN does not pass.
        kept = (miss <= tolerance for miss, tolerance in zip(self.misses, tolerances, strict=True))
        return tuple(name for name, is_kept in zip(names, kept, strict=True) if not is_kept)

    @property
    def misses(self) -> tuple[float, float, float]:
        """By how much voltages (pu), loadings (share of the rating) and the reference bus (MW) miss their limits."""
        loading = float(np.max(self.loading, initial=0.0))
        return max(self.outside_pu, 0.0), max(loading - 1.0, 0.0), abs(self.slack_excess_mw)

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
    """The power flow with generators at `power_mw` (generator,) and loads (bus,).

    Raises `InputError` if shapes do not fit or the case lacks what an AC power flow takes.
    """
    if reason := case.lacks_for_ac:
        raise InputError(f"network {case.name}: an AC power flow would mean nothing: {reason}")
    for name, array, n in (("power_mw", power_mw, len(case.gen)), ("load_mw", load_mw, len(case.bus))):
        if array.shape != (n,):
            raise InputError(f"{name} has shape {array.shape}, the network asks for ({n},)")
    bus, gen = case.bus[:, :13].copy(), _wide(case.gen, 21)
    bus[:, LOAD_MW], bus[:, LOAD_MVAR] = load_mw, load_mvar
    gen[:, _GEN_MW] = power_mw
    gen[:, [MVAR_MAX, MVAR_MIN]] = np.clip(gen[:, [MVAR_MAX, MVAR_MIN]], -_MVAR_ENDLESS, _MVAR_ENDLESS)
    tables = {"version": "2", "baseMVA": case.base_mva, "bus": bus, "gen": gen, "branch": _wide(case.branch, 13)}
    found = _within_reactive_limits(tables, case.places(case.gen[:, GEN_BUS]))
    if found is None:
        nothing = np.full(len(case.branch), np.nan)
        return AcPowerFlow(False, np.full(len(case.bus), np.nan), nothing, np.nan, np.nan, np.nan)
    voltage, flow = found["bus"][:, _VOLTAGE], found["branch"]
    apparent = np.maximum(
        np.hypot(flow[:, _FROM_MW], flow[:, _FROM_MVAR]), np.hypot(flow[:, _TO_MW], flow[:, _TO_MVAR])
    )
    rated = case.branch[:, RATING] > 0.0
    loading = np.zeros(len(case.branch))
    loading[rated] = apparent[rated] / case.branch[rated, RATING]
    at_reference = case.at_reference
    slack = float(found["gen"][at_reference, _GEN_MW].sum())
    most, least = (float(case.gen[at_reference, column].sum()) for column in (POWER_MAX, POWER_MIN))
    return AcPowerFlow(
        True,
        voltage,
        loading,
        float(np.maximum(voltage - bus[:, VOLTAGE_MAX], bus[:, VOLTAGE_MIN] - voltage).max()),
        max(slack - most, 0.0) + min(slack - least, 0.0),
        float((flow[:, _FROM_MW] + flow[:, _TO_MW]).sum()),
    )


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
        holds = bus[:, BUS_TYPE] == _HOLDS_VOLTAGE
        over, under = holds & (given > most + POWER_TOLERANCE_MW), holds & (given < least - POWER_TOLERANCE_MW)
        if not (over | under).any():
            return dict(found)
        for spent, limit in ((over, MVAR_MAX), (under, MVAR_MIN)):
            bus[spent, BUS_TYPE] = _LOAD_BUS
            stuck = spent[at_bus]
            gen[stuck, _GEN_MVAR] = gen[stuck, limit]
    return None


def _wide(table: Floats, n_columns: int) -> Floats:
    """A table with at least so many columns; the format's last ones may be missing."""
    wide = np.zeros((len(table), max(n_columns, table.shape[1])))
    wide[:, : table.shape[1]] = table
    return wide
