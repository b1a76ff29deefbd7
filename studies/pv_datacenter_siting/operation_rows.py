"""What is stored of a plan's operation: its year under the regulators' own controls, and what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from studies.shared.typed_rows import ShownAs, TypedRow

# What stands beside a plan in its table: the feeder without it, by its own settings and by the plan's.
AS_IT_IS, SET_POINTS_ALONE = "the feeder as it is", "the plan's set-points alone"
# Weeks of a year, by whose money a plan was chosen or not.
CHOSEN_BY, HELD_OUT = "chosen by", "held out"


@dataclass(frozen=True)
class OperationRow(TypedRow):
    """A year under regulators' own controls: of `plan` what it is (`what`), at a level of `utilisation` of its sites.

    Beside the plan stand the feeder as it is, and with the plan's set-points alone. `over_pu_h` is that of all rows
    together. `loading_pu` is None where no branch has a rating. `unbalance` is the highest voltage unbalance of any
    three-phase bus, negative over positive sequence, and `n_hours_unbalanced` how many hours it is above its limit, if
    there is one.
    """

    plan: Annotated[str, ShownAs("plan")]
    what: Annotated[str, ShownAs("year of")]
    utilisation: Annotated[float | None, ShownAs("utilisation", 2)]
    n_hours_outside: Annotated[int, ShownAs("hours outside limits")]
    over_pu_h: Annotated[float, ShownAs("outside (pu h/year)", 4, secondary=True)]
    lowest_pu: Annotated[float, ShownAs("lowest (pu)", 4)]
    highest_pu: Annotated[float, ShownAs("highest (pu)", 4)]
    loading_pu: Annotated[float | None, ShownAs("highest loading (of the rating)", 3)]
    loading_at: Annotated[str, ShownAs("loaded most", secondary=True)]
    unbalance: Annotated[float, ShownAs("highest voltage unbalance (share)", 4)]
    n_hours_unbalanced: Annotated[int | None, ShownAs("hours above its limit", secondary=True)]
    tap_steps: Annotated[int, ShownAs("tap steps")]
    tap_cost: Annotated[float, ShownAs("tap steps ($/year)", 0)]
    losses_mwh: Annotated[float, ShownAs("losses (MWh/year)", 1)]
    losses_cost: Annotated[float, ShownAs("losses ($/year)", 0)]


@dataclass(frozen=True)
class HeldOutRow(TypedRow):
    """Some weeks of a plan's year: those by whose money it was chosen, or those that were held out.

    Tap steps and losses ($, as of a year of such weeks) of the plan and of the feeder as it is. `n_days_unseen` are
    days of the weeks on which the first set-points, chosen without these days, broke a limit; they joined then.
    """

    plan: Annotated[str, ShownAs("plan")]
    weeks: Annotated[str, ShownAs("weeks")]
    n_hours: Annotated[int, ShownAs("hours")]
    n_hours_outside: Annotated[int, ShownAs("hours outside limits")]
    cost: Annotated[float, ShownAs("tap steps and losses ($/year)", 0)]
    cost_as_it_is: Annotated[float, ShownAs("the same, the feeder as it is ($/year)", 0)]
    saved: Annotated[float, ShownAs("saved ($/year)", 0)]
    n_days_unseen: Annotated[int, ShownAs("days that the first set-points broke")]


@dataclass(frozen=True)
class OtherPlanRow(TypedRow):
    """A plan taken through the year beside the program's, all under the same set-points.

    `cost_more` ($, as of a year of the weeks that choose) is against the one that was taken, `cost_more_held_out` the
    same in the weeks held out, `margin_pu` the least distance of a voltage to its limit.
    """

    plan: Annotated[str, ShownAs("plan")]
    pv: Annotated[str, ShownAs("PV")]
    sites: Annotated[str, ShownAs("datacenters")]
    taken: Annotated[bool, ShownAs("taken")]
    cost_more: Annotated[float, ShownAs("costs more ($/year)", 0)]
    cost_more_held_out: Annotated[float, ShownAs("the same, weeks held out ($/year)", 0)]
    over_pu_h: Annotated[float, ShownAs("outside (pu h/year)", 4)]
    margin_pu: Annotated[float, ShownAs("least margin of a voltage (pu)", 5)]
    n_simulated: Annotated[int, ShownAs("simulated on fewer days", secondary=True)]


@dataclass(frozen=True)
class SetPointRow(TypedRow):
    """What a regulator holds under a plan, on its control's side, and by the circuit's own settings."""

    plan: Annotated[str, ShownAs("plan")]
    regulator: Annotated[str, ShownAs("regulator")]
    vreg_v: Annotated[float, ShownAs("voltage (V)", 2)]
    band_v: Annotated[float, ShownAs("band (V)", 2)]
    r_v: Annotated[float, ShownAs("compensation R (V)", 2)]
    x_v: Annotated[float, ShownAs("compensation X (V)", 2)]
    own_vreg_v: Annotated[float, ShownAs("voltage, own (V)", 2, secondary=True)]
    own_band_v: Annotated[float, ShownAs("band, own (V)", 2, secondary=True)]
    own_r_v: Annotated[float, ShownAs("compensation R, own (V)", 2, secondary=True)]
    own_x_v: Annotated[float, ShownAs("compensation X, own (V)", 2, secondary=True)]
