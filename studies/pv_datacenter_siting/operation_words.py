"""What the answer says of a plan's operation: its money over the year, and what foresight would be worth."""

from __future__ import annotations

from collections.abc import Sequence

from g2g_opt.batch.chains import SetPoint
from studies.pv_datacenter_siting.operation import set_points_in_words
from studies.pv_datacenter_siting.operation_rows import (
    AS_IT_IS,
    CHOSEN_BY,
    HELD_OUT,
    SET_POINTS_ALONE,
    HeldOutRow,
    OperationRow,
    OtherPlanRow,
    SetPointRow,
)
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.rows import PlanRow

HOURS_A_YEAR = 8760


def money_words(
    question: SitingQuestion, row: PlanRow, operation: Sequence[OperationRow], held: Sequence[SetPointRow]
) -> str:
    """How regulators are set, and what the simulated year costs against the feeder as it is."""
    words = ""
    if held:
        own = {one.regulator: SetPoint(one.own_vreg_v, one.own_band_v, one.own_r_v, one.own_x_v) for one in held}
        chosen = {one.regulator: SetPoint(one.vreg_v, one.band_v, one.r_v, one.x_v) for one in held}
        changed = "as they are" if own == chosen else set_points_in_words(own, chosen)
        words += f"; let regulators act by their own controls, set {changed}"
    plan, *_ = operation
    base = next(one for one in operation if one.what == AS_IT_IS)
    alone = next(one for one in operation if one.what == SET_POINTS_ALONE)
    what = f"earns {-row.cost:,.0f}" if row.cost <= 0.0 else f"costs {row.cost:,.0f}"
    full = "" if plan.utilisation is None else f", with sites at {100 * plan.utilisation:.3g} % of their sizes"
    parts = []
    if row.pv_kw:
        parts.append(f"PV earns {-row.cost_pv_energy - row.cost_pv_investment:,.0f} $ after its investment")
    if row.storage_kw:
        earned = -row.cost_storage_energy - row.cost_storage_investment
        parts.append(f"storage {f'earns {earned:,.0f}' if earned >= 0.0 else f'costs {-earned:,.0f}'} $ so")
    if row.cost_site_value:
        parts.append(f"sites are worth {-row.cost_site_value:,.0f} $")
    steps = f"{plan.tap_steps:,} tap steps in place of {base.tap_steps:,} {_cost(row.cost_switching)}, and "
    parts.append(
        f"{steps if plan.tap_steps or base.tap_steps else ''}losses of {plan.losses_mwh:,.0f} in place of "
        f"{base.losses_mwh:,.0f} MWh {_cost(row.cost_losses)}"
    )
    if question.violations == "priced" and (plan.over_pu_h or base.over_pu_h):
        parts[-1] += (
            f"; to be outside the limits by {plan.over_pu_h:.4g} in place of {base.over_pu_h:.4g} pu h "
            f"{_cost(row.cost_violation, of_one=True)}"
        )
    words += (
        f". The plan {what} $ a year against the feeder as it is, all of it of the simulated year{full}: "
        f"{'; '.join(parts)}."
    )
    if held and alone.tap_cost + alone.losses_cost != base.tap_cost + base.losses_cost:
        saved = base.tap_cost + base.losses_cost - alone.tap_cost - alone.losses_cost
        words += (
            f" Its set-points alone, with nothing built, would save {saved:,.0f} $ of tap steps and losses"
            if saved > 0.0
            else f" Its set-points alone, with nothing built, would cost {-saved:,.0f} $ in tap steps and losses"
        )
        words += f" ({alone.n_hours_outside:,} hours outside the limits)." if alone.n_hours_outside else "."
    words += step_cost_words(question, row, plan, alone)
    if base.n_hours_outside:
        words += f" The feeder as it is breaks a limit in {base.n_hours_outside:,} hours of the year."
    return words


def step_cost_words(question: SitingQuestion, row: PlanRow, plan: OperationRow, alone: OperationRow) -> str:
    """Up to which cost of a tap step PV pays, under the plan's set-points; nothing where sites have to be placed.

    The plan's steps beyond those of its set-points with nothing built, against what it earns beyond them otherwise.
    """
    more_steps = plan.tap_steps - alone.tap_steps
    built = row.cost_pv_investment + row.cost_pv_energy + row.cost_storage_investment + row.cost_storage_energy
    worth = -built + alone.losses_cost - plan.losses_cost
    if question.violations == "priced":
        worth += question.violation_cost_per_pu_h * (alone.over_pu_h - plan.over_pu_h)
    if question.places_sites or not row.pv_kw or more_steps <= 0 or worth <= 0.0:
        return ""
    return (
        f" A tap step counts {question.switch_cost:g} $, a choice of yours (--switch-cost): under these set-points it "
        f"pays to build up to {worth / more_steps:,.2f} $ a step, and above that to build nothing."
    )


def unbalance_warning(question: SitingQuestion, operation: Sequence[OperationRow]) -> str:
    """That a plan's voltage unbalance is above its limit for more of the year than it may be; nothing if it is not."""
    limits = question.limits
    if limits.unbalance_negative_sequence_max is None or not operation:
        return ""
    base = next(one for one in operation if one.what == AS_IT_IS)
    worst = max((one for one in operation if one.what not in (AS_IT_IS, SET_POINTS_ALONE)), key=_hours_unbalanced)
    if _hours_unbalanced(worst) <= limits.unbalance_time_share_max * HOURS_A_YEAR:
        return ""
    at = "" if worst.utilisation is None else f", with sites at {100 * worst.utilisation:.3g} %,"
    return (
        f"voltage unbalance is above {100 * limits.unbalance_negative_sequence_max:g} %{at} in "
        f"{_hours_unbalanced(worst):,} hours of the year, {_hours_unbalanced(base):,} on the feeder as it is; at most "
        f"{100 * worst.unbalance:.2f} % and {100 * base.unbalance:.2f} %: siting tells it and does not judge it"
    )


def _hours_unbalanced(row: OperationRow) -> int:
    return row.n_hours_unbalanced or 0


def held_out_words(weeks: Sequence[HeldOutRow], has_regulators: bool) -> str:
    """What the operation saves in the weeks that chose it, and in those that did not."""
    of_weeks = {one.weeks: one for one in weeks}
    if len(of_weeks) < 2:
        return ""
    chosen, held = of_weeks[CHOSEN_BY], of_weeks[HELD_OUT]
    placement = "placement among those that the program cannot tell apart"
    what = f"Set-points, and the {placement}, were" if has_regulators else f"The {placement} was"
    words = (
        f" {what} chosen by the money of every other week: as of a year of such weeks, "
        f"{'tap steps and losses' if has_regulators else 'losses'} {_cost(-chosen.saved)} there and "
        f"{_cost(-held.saved)} in the weeks between, which chose nothing."
    )
    if held.n_days_unseen:
        n = held.n_days_unseen
        words += (
            f" The first set-points broke a limit on {n} {'day' if n == 1 else 'days'} of these, "
            "which nobody had looked at; they joined. Another year may have such days."
        )
    return words


def _cost(usd: float, of_one: bool = False) -> str:
    s = "s" if of_one else ""
    return f"cost{s} {usd:,.0f} $" if usd >= 0.0 else f"save{s} {-usd:,.0f} $"


def others_words(others: Sequence[OtherPlanRow]) -> str:
    """What else was simulated, and by how much it costs more."""
    if not others:
        return ""
    taken, *rest = others
    words = (
        f" {taken.n_simulated:,} other plans (its sizes at other buses, and less PV) were simulated on days of the year"
    )
    if not rest:
        return f"{words}."
    told, by_margin = [], False
    for one in rest[:3]:
        where = "; ".join(part for part in (one.pv and f"PV at {one.pv}", one.sites) if part) or "nothing built"
        outside = ", outside limits" if one.over_pu_h > taken.over_pu_h else ""
        cheaper = one.cost_more <= -0.5 and not outside
        outside = ", nearer to a limit" if cheaper else outside
        by_margin = by_margin or cheaper
        costs = f"{one.cost_more:+z,.0f} $ a year" if abs(one.cost_more) >= 0.5 else "the same cost"
        told.append(f"{where} ({costs}{outside})")
    words += f", {len(rest)} of them through the year under the same set-points: {'; '.join(told)}."
    if by_margin:
        words += " Of plans whose costs differ by less than the gap asked for (--gap) the furthest inside is taken."
    return words


def foresight_words(row: PlanRow) -> str:
    """How far a plan is behind the bound of a program that knows every hour's taps."""
    if row.foresight_bound is None or row.foresight_loss is None:
        return ""
    value, loss = abs(row.foresight_bound), abs(row.foresight_loss)
    share = f" ({100 * loss / value:.1f} % of it)" if value > 1.0 else ""
    behind = f"{loss:,.0f} $ behind that bound{share}"
    if row.foresight_loss < -0.5:
        # Violations of the year may cost less than on the days, and the program pays for its margin as well.
        behind = f"{loss:,.0f} $ ahead of that bound{share}, which is one of these days and no bound of the year"
    bound = f"earns more than {-row.foresight_bound:,.0f}" if row.foresight_bound < 0.0 else (
        f"costs less than {row.foresight_bound:,.0f}"
    )  # fmt: skip
    stored = ", storage by the same rule," if row.storage_kw else ""
    steps = f", {row.cost_tap_steps:,.0f} $ of it tap steps" if row.cost_tap_steps else ""
    return (
        f" With foresight of every slot's taps{stored} no plan {bound} $ a year on the representative days, all tap "
        f"steps within days counted and losses not: this operation is {behind}{steps}."
    )


def error_of_days(row: PlanRow) -> str:
    """What the representative days make of the year's money."""
    year = row.cost - row.cost_losses - row.cost_switching - row.cost_violation + row.cost_violation_paid
    return (
        f"the representative days, corrected to the year's energy, are {row.cost_by_days - year:+z,.0f} $ off the year "
        "without tap steps and losses, of which they know nothing; the money told is the year's"
    )
