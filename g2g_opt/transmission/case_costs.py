"""Costs of generators in a MATPOWER-style case: polynomials up to the square, and convex piecewise linear ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import InputError
from g2g_opt.transmission.case_tables import CaseTables

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Columns of the format, counted from 0, and its two ways to state a cost.
_MODEL, _STARTUP, _TERMS, _FIRST = 0, 1, 3, 4
_PIECEWISE, _POLYNOMIAL = 1, 2
_POWER_MAX, _POWER_MIN = 8, 9
# A slope that falls by no more than so much of the steepest is rounding of its points.
_ROUNDING = 1e-4


@dataclass(frozen=True)
class CostPiece:
    """Power (MW) of a generator between two limits, at $/MWh and its rise ($/MW^2h)."""

    power_min_mw: float
    power_max_mw: float
    usd_per_mwh: float
    usd_per_mw2h: float


@dataclass(frozen=True)
class UnitCost:
    """Cost of a generator in service: `fixed_usd_per_h` plus that of its pieces, which it fills in their order.

    The first piece holds the least output. `startup_usd` is what a start costs.
    """

    pieces: tuple[CostPiece, ...]
    fixed_usd_per_h: float
    startup_usd: float


def unit_costs(tables: CaseTables, units: Ints) -> tuple[UnitCost, ...]:
    """Costs of some generators, by their rows; `InputError` names the row of one that is not convex."""
    # Rows of reactive cost may follow; none is paid here.
    return tuple(_cost(tables, int(k)) for k in units)


def _cost(tables: CaseTables, k: int) -> UnitCost:
    row = tables.gencost[k]
    least, most = float(tables.gen[k, _POWER_MIN]), float(tables.gen[k, _POWER_MAX])

    def refuse(reason: str) -> InputError:
        return InputError(f"{tables.where}, table gencost (line {tables.lines['gencost']}), row {k + 1} {reason}")

    if row[_MODEL] not in (_PIECEWISE, _POLYNOMIAL):
        raise refuse("is no polynomial (model 2) and not piecewise linear (model 1)")
    n, width = row[_TERMS], 1 if row[_MODEL] == _POLYNOMIAL else 2
    if not (n >= 1.0 and n == np.floor(n) and width * n <= len(row) - _FIRST):
        raise refuse(f"says {n:g} terms, and holds others")
    used = row[_FIRST : _FIRST + width * int(n)]
    if not np.isfinite(np.append(used, row[_STARTUP])).all() or (np.abs(used) > 1e15).any():
        raise refuse("has a value that is no finite number, or beyond any cost")
    startup = float(row[_STARTUP])
    if row[_MODEL] == _POLYNOMIAL:
        if len(used) > 3 and used[:-3].any():
            raise refuse("is above the second degree, which is not modelled (it is not convex in general)")
        square, linear, fixed = (float(term) for term in np.append(np.zeros(3), used)[-3:])
        if square < 0.0:
            raise refuse("falls with output (negative square), so it is not convex; such costs are not modelled")
        return UnitCost((CostPiece(least, most, linear, square),), fixed, startup)
    power, cost = used[0::2], used[1::2]
    if len(power) < 2 or (np.diff(power) <= 0.0).any():
        raise refuse("needs two points or more with rising power")
    slope = np.diff(cost) / np.diff(power)
    if (np.diff(slope) < -_ROUNDING * max(1.0, float(np.abs(slope).max()))).any():
        raise refuse("is piecewise linear and not convex; such costs are not modelled")
    return _piecewise(power, cost, np.maximum.accumulate(slope), least, most, startup)


def _piecewise(power: Floats, cost: Floats, slope: Floats, least: float, most: float, startup: float) -> UnitCost:
    """The first and the last piece reach as far as the generator does."""
    ends = np.concatenate([[-np.inf], power[1:-1], [np.inf]])
    pieces: list[CostPiece] = []
    fixed = 0.0
    for begin, end, k in zip(ends[:-1], ends[1:], range(len(slope)), strict=True):
        holds = begin < most and end > least
        # A generator that cannot move is on one piece, too.
        if not holds and not (least == most and not pieces and end >= most):
            continue
        if not pieces:
            # What the least output costs, less what the first piece is paid for it.
            fixed = float(cost[k] + slope[k] * (least - power[k]) - slope[k] * least)
            pieces.append(CostPiece(least, min(end, most), float(slope[k]), 0.0))
        elif slope[k] == pieces[-1].usd_per_mwh:
            last = pieces.pop()
            pieces.append(
                CostPiece(last.power_min_mw, last.power_max_mw + min(end, most) - begin, float(slope[k]), 0.0)
            )
        else:
            pieces.append(CostPiece(0.0, min(end, most) - begin, float(slope[k]), 0.0))
    return UnitCost(tuple(pieces), fixed, startup)
