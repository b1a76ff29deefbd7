"""PYPOWER's power flows as the AC check would have them: the same rounds over losses and reactive limits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pypower.api import ppoption, runpf

from g2g_opt.transmission.ac_power_flow import POWER_TOLERANCE_MW, AcPowerFlow
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
# Reactive limits beyond this are none (Mvar).
_MVAR_ENDLESS = 1e5
# A branch without impedance (a bus bar) has so much reactance (pu).
_BAR_PU = 1e-6


def reference_power_flow(case: NetworkCase, power_mw: Floats, load_mw: Floats, load_mvar: Floats) -> AcPowerFlow:
    """What `AcNetwork.solve` gives, by PYPOWER."""
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
        return AcPowerFlow.without_solution(len(case.bus), len(case.branch), len(case.gen))
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
        voltage * np.exp(1j * np.deg2rad(found["bus"][:, _VOLTAGE_ANGLE])),
        gen[:, _GEN_MW],
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
