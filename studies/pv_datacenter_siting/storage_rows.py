"""What storage beside PV is worth: the best plan with it beside the best without, both over the simulated year."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from g2g_opt.errors import number_of
from studies.pv_datacenter_siting.made_again import WeighedPlan
from studies.pv_datacenter_siting.operated_cost import OperatedCost
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.storage_offer import StorageOffer
from studies.pv_datacenter_siting.storage_rule import StorageRule
from studies.shared.typed_rows import ShownAs, TypedRow

WITH_STORAGE, WITHOUT_STORAGE = "with storage", "without storage"


@dataclass(frozen=True)
class StorageRow(TypedRow):
    """The best plan found with storage, or without: what it builds and what its year costs ($, simulated).

    `cost` is that of the year, `cost_chosen` as of a year of the weeks that choose and `cost_held_out` of the weeks
    held out, these two without what the feeder as it is costs. Energy is charged and discharged at the plants (MWh a
    year). Rules are None without storage.
    """

    plan: Annotated[str, ShownAs("plan")]
    what: Annotated[str, ShownAs("year")]
    taken: Annotated[bool, ShownAs("taken")]
    holds: Annotated[bool, ShownAs("holds")]
    n_hours_outside: Annotated[int, ShownAs("hours outside limits")]
    pv: Annotated[str, ShownAs("PV")]
    sites: Annotated[str, ShownAs("datacenters")]
    storage_kw: Annotated[float, ShownAs("storage (kW)", 0)]
    storage_kwh: Annotated[float, ShownAs("storage (kWh)", 0)]
    charge_above: Annotated[float | None, ShownAs("charges above (share of sun)", 2)]
    discharge_from_h: Annotated[int | None, ShownAs("discharges from (hour)")]
    cost: Annotated[float, ShownAs("simulated cost ($/year)", 0)]
    cost_pv: Annotated[float, ShownAs("PV, investment less energy ($/year)", 0)]
    cost_storage_investment: Annotated[float, ShownAs("storage investment ($/year)", 0)]
    cost_storage_energy: Annotated[float, ShownAs("storage energy ($/year)", 0)]
    cost_switching: Annotated[float, ShownAs("tap changes ($/year)", 0)]
    cost_losses: Annotated[float, ShownAs("losses ($/year)", 0)]
    cost_violation: Annotated[float, ShownAs("violations ($/year)", 0, secondary=True)]
    cost_chosen: Annotated[float, ShownAs("by weeks that choose ($/year)", 0, secondary=True)]
    cost_held_out: Annotated[float, ShownAs("by weeks held out ($/year)", 0, secondary=True)]
    charged_mwh: Annotated[float, ShownAs("charged (MWh/year)", 1)]
    discharged_mwh: Annotated[float, ShownAs("discharged (MWh/year)", 1)]
    n_rules: Annotated[int, ShownAs("rules tried", secondary=True)]
    n_simulated: Annotated[int, ShownAs("simulated on fewer days", secondary=True)]


def storage_rows(offer: StorageOffer, taken: OperatedCost, other: OperatedCost | None, plan: str) -> list[StorageRow]:
    """Of both plans, the one that is taken first; costs are theirs."""
    first, second = (offer.with_it, offer.without) if offer.pays else (offer.without, offer.with_it)
    rows = [_row(offer, first, taken, plan, taken=True)] if first is not None else []
    if second is not None and other is not None:
        rows.append(_row(offer, second, other, plan, taken=False))
    return rows


def _row(offer: StorageOffer, one: WeighedPlan, cost: OperatedCost, plan: str, *, taken: bool) -> StorageRow:
    case, built = one.found.proposal.case, one.found.proposal.plan
    stored, kw = case.stored, float(built.storage_kw.sum())
    rule = None if stored is None else stored.rule
    year_mwh = 0.0 if stored is None else 8.76 * kw / len(stored.charge)
    parts = cost.parts
    return StorageRow(
        plan=plan,
        what=WITHOUT_STORAGE if one is offer.without else WITH_STORAGE,
        taken=taken,
        holds=one.found.holds,
        n_hours_outside=one.found.year.n_hours_broken,
        pv=case.pv_words(built),
        sites=case.site_words(built),
        storage_kw=kw,
        storage_kwh=float(built.storage_kwh.sum()),
        charge_above=None if rule is None else rule.charge_above,
        discharge_from_h=None if rule is None else rule.discharge_from_h,
        cost=cost.total,
        cost_pv=parts.pv_investment + parts.pv_energy,
        cost_storage_investment=parts.storage_investment,
        cost_storage_energy=parts.storage_energy,
        cost_switching=parts.switching,
        cost_losses=cost.losses,
        cost_violation=parts.violation,
        cost_chosen=one.worth.cost,
        cost_held_out=one.worth.cost_held_out,
        charged_mwh=0.0 if stored is None else year_mwh * float(stored.charge.sum()),
        discharged_mwh=0.0 if stored is None else year_mwh * float(stored.discharge.sum()),
        n_rules=offer.n_rules,
        n_simulated=offer.n_simulated,
    )


def storage_words(question: SitingQuestion, rows: Sequence[StorageRow]) -> str:
    """Whether storage pays, with both figures; nothing where none is offered."""
    if question.storage is None or not rows:
        return ""
    of_what = {row.what: row for row in rows}
    without, with_it = of_what.get(WITHOUT_STORAGE), of_what.get(WITH_STORAGE)
    if with_it is None:
        return " Storage is offered, and no plan has any: it would stand beside PV, of which none is built."
    assert without is not None
    assert with_it.charge_above is not None
    assert with_it.discharge_from_h is not None
    rule = StorageRule(with_it.charge_above, with_it.discharge_from_h).in_words()
    words = f" By its rule, which knows no future, storage is to {rule}." if with_it.taken else ""
    what = f"{with_it.storage_kw:,.0f} kW, {with_it.storage_kwh:,.0f} kWh of storage"
    parts = (
        f"it costs {with_it.cost_storage_investment:,.0f} $ a year and its energy "
        f"{_earns(-with_it.cost_storage_energy)} ({with_it.charged_mwh:,.0f} MWh in, {with_it.discharged_mwh:,.0f} out)"
    )
    tried = f" ({number_of(with_it.n_rules, 'rule')} tried, {number_of(with_it.n_simulated, 'plan')} simulated)"
    if not without.holds:
        return words + f" Without storage no plan was found that holds{tried}; {parts}."
    both = f"the best plan with {what} {_earns(-with_it.cost)} a year, the best without {_earns(-without.cost)}"
    if not with_it.holds:
        return words + (
            f" No plan with storage was found that holds{tried}: the last one is outside limits in "
            f"{with_it.n_hours_outside:,} hours of its years."
        )
    held_out = without.cost_held_out - with_it.cost_held_out
    weeks = f"in the weeks held out, as of a year, it is {_worth(held_out)}"
    gain = without.cost - with_it.cost
    if with_it.taken:
        pays = "Storage pays" if gain > 0.0 else "Storage pays by the weeks that choose"
        return words + f" {pays}{tried}: {both}, PV {with_it.pv} against {without.pv or 'none'}; {parts}; {weeks}."
    return words + (
        f" Storage does not pay{tried}: {both} ({with_it.pv}; to {rule}); {parts}; the year is {_worth(gain)} with it, "
        f"and {weeks}."
    )


def _earns(usd: float) -> str:
    return f"earns {usd:,.0f} $" if usd >= 0.0 else f"costs {-usd:,.0f} $"


def _worth(usd: float) -> str:
    return f"{usd:,.0f} $ cheaper" if usd >= 0.0 else f"{-usd:,.0f} $ dearer"
