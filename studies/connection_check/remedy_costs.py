"""What remedies cost: a table that the user may change, and investments as a yearly sum."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from g2g_opt.csv_files import read_csv
from g2g_opt.data_files import data_path
from g2g_opt.errors import InputError, shown
from g2g_opt.kept_files import copy_or_self
from g2g_opt.reading import user_path

# Stands for the table that comes with the product.
BUNDLED_COSTS = "bundled"
_COLUMNS, _OPTIONAL = ("item", "unit", "capital_usd", "annual_usd", "lifetime_years"), ("basis",)
_USD_MAX, _YEARS_MAX = 1e9, 200.0
# Units of which there may be others for the same thing; pieces are pieces, whatever they are called.
_MEASURED = ("A", "kVA", "kW", "kWh", "km", "kvar", "MWh")

# So much of each item of the table.
Amounts = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class RemedyUnitCost:
    """One item: $ once and $ a year for each `unit` of it, the years over which it is paid off, and where the figures
    come from (`basis`; empty if the table does not say).
    """

    item: str
    unit: str
    capital_usd: float
    annual_usd: float
    lifetime_years: float
    basis: str = ""

    def in_words(self, amount: float) -> str:
        """So much of it, and what a unit costs."""
        each = [f"{self.capital_usd:,.6g} $"] if self.capital_usd else []
        each += [f"{self.annual_usd:,.6g} $ a year"] if self.annual_usd else []
        source = f" ({self.basis})" if self.basis else ""
        return f"{amount:,.6g} {self.unit} of {self.item} at {' and '.join(each) or 'no cost'}{source}"


@dataclass(frozen=True)
class RemedyCost:
    """What a remedy costs: once (`capital_usd`), and as a yearly sum with the investment annualised (`annual_usd`).

    `parts` say in words what it is made of, with the unit costs and their basis.
    """

    capital_usd: float
    annual_usd: float
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnitCosts:
    """The table of unit costs; `name` names it in errors."""

    items: tuple[RemedyUnitCost, ...]
    name: str = "the table of costs"

    @staticmethod
    def load(name: str) -> UnitCosts:
        """The bundled table, or a CSV of the same columns (`basis` may be left out).

        `InputError` names the line that cannot be used, an item that is there twice, and costs by another unit than
        amounts are counted in.
        """
        table = read_csv(costs_path(name), "costs", _COLUMNS, _OPTIONAL)
        table.left_aside((*_COLUMNS, *_OPTIONAL), _OPTIONAL)
        units = _measured_units() if name != BUNDLED_COSTS else {}
        found: dict[str, RemedyUnitCost] = {}
        lines: dict[str, int] = {}
        for row in table.rows:
            one = RemedyUnitCost(
                row["item"].strip(),
                row["unit"].strip(),
                row.number("capital_usd", 0.0, _USD_MAX),
                row.number("annual_usd", 0.0, _USD_MAX),
                row.number("lifetime_years", 1.0, _YEARS_MAX),
                row["basis"].strip() if "basis" in table.columns else "",
            )
            if one.item in found:
                first = lines[one.item]
                raise InputError(
                    f"{row.where}: the item {shown(one.item)} is there twice, first in line {first}; leave one of them"
                )
            unit = units.get(one.item, one.unit)
            if one.unit.casefold() != unit.casefold():
                raise InputError(
                    f"{row.where}, unit: {shown(one.item)} is counted in {unit}, not in {shown(one.unit)}; give the "
                    f"cost of one {unit}"
                )
            found[one.item], lines[one.item] = one, row.line
        return UnitCosts(tuple(found.values()), table.name)

    def of(self, amounts: Amounts, discount_rate: float) -> RemedyCost:
        """The cost of so much of each item, with investments paid off at `discount_rate` (share a year) (equation 6.6).

        The annuity of 1 $ over n years at a rate r is r / (1 - (1 + r)^-n).
        """
        capital = annual = 0.0
        for name, amount in amounts:
            unit = self._unit(name)
            # As it is written a small rate leaves nothing of the difference.
            annuity = discount_rate / -math.expm1(-unit.lifetime_years * math.log1p(discount_rate))
            capital += amount * unit.capital_usd
            annual += amount * (unit.annual_usd + annuity * unit.capital_usd)
        return RemedyCost(capital, annual, tuple(self._unit(name).in_words(amount) for name, amount in amounts))

    def check(self, names: Iterable[str]) -> None:
        """Raise `InputError` for the first of these items that the table lacks."""
        for name in names:
            self._unit(name)

    def _unit(self, name: str) -> RemedyUnitCost:
        found = next((unit for unit in self.items if unit.item == name), None)
        if found is None:
            raise InputError(f"{self.name} has no item {name!r}; it has {', '.join(u.item for u in self.items)}")
        return found


def _measured_units() -> dict[str, str]:
    """Units of the items that are measured, by the bundled table."""
    return {one.item: one.unit for one in UnitCosts.load(BUNDLED_COSTS).items if one.unit in _MEASURED}


def costs_path(name: str) -> Path:
    """Where the table lies."""
    return data_path("remedies", "costs.csv") if name == BUNDLED_COSTS else copy_or_self(user_path(name, "costs"))


def costs_files(name: str) -> dict[str, Path]:
    """The table among the inputs of a study."""
    return {f"costs/{'costs.csv' if name == BUNDLED_COSTS else name}": costs_path(name)}
