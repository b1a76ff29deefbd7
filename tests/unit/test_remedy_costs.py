"""The table of unit costs: what a planner's own may say, and investments as a yearly sum by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2g_opt.data_files import data_path
from g2g_opt.errors import InputError
from studies.connection_check.remedy_costs import BUNDLED_COSTS, UnitCosts

HEADER = "item,unit,capital_usd,annual_usd,lifetime_years\n"


def table(folder: Path, rows: str) -> UnitCosts:
    path = folder / "costs.csv"
    path.write_text(HEADER + rows, encoding="utf-8")
    return UnitCosts.load(str(path))


def test_an_investment_is_paid_off_also_at_next_to_no_discount(tmp_path: Path) -> None:
    """At a rate of nearly nothing 1,000 $ over 10 years are 100 $ a year, at 7 % 142.38 $."""
    costs = table(tmp_path, "capacitor kvar,kvar,1000,5,10\n")
    assert costs.of((("capacitor kvar", 1.0),), 0.07).annual_usd == pytest.approx(147.3775, abs=1e-4)
    for rate in (1e-8, 1e-17, 1e-300):
        assert costs.of((("capacitor kvar", 2.0),), rate).annual_usd == pytest.approx(210.0, rel=1e-6)


def test_an_item_that_is_there_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    """The first would count, and prices that were added below the bundled ones would not."""
    rows = data_path("remedies", "costs.csv").read_text(encoding="utf-8")
    (tmp_path / "mine.csv").write_text(rows + "capacitor kvar,kvar,99,0,25,mine\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"line 2\d: the item 'capacitor kvar' is there twice, first in line \d+"):
        UnitCosts.load(str(tmp_path / "mine.csv"))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("capacitor kvar,Mvar,12000,0,25", "line 2, unit: .*'capacitor kvar' is counted in kvar, not in 'Mvar'"),
        ("line extension,mile,290000,0,40", "counted in km, not in 'mile'"),
        ("curtailed energy,kWh,0,0.1,1", "counted in MWh, not in 'kWh'"),
    ],
)
def test_a_price_by_another_unit_is_refused(tmp_path: Path, row: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        table(tmp_path, row + "\n")


def test_pieces_may_have_any_name_and_units_any_case(tmp_path: Path) -> None:
    costs = table(tmp_path, "capacitor bank,each,8000,300,25\ncapacitor kvar,KVAR,12,0,25\nmy own item,acre,1,0,9\n")
    assert costs.of((("capacitor bank", 1.0), ("capacitor kvar", 100.0)), 0.07).capital_usd == 9200.0


def test_a_table_that_lacks_an_item_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"costs.csv has no item 'fuse'; it has capacitor bank"):
        table(tmp_path, "capacitor bank,bank,8000,300,25\n").check(["fuse"])
    UnitCosts.load(BUNDLED_COSTS).check(["fuse"])
