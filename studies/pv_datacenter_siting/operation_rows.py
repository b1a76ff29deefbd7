"""What is stored of a plan's operation: its year under the regulators' own controls, and what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from studies.shared.typed_rows import ShownAs, TypedRow


@dataclass(frozen=True)
class OperationRow(TypedRow):
    """A year under regulators' own controls: of `plan` what it is (`what`), at a level of `utilisation` of its sites.

    Beside the plan stand the feeder as it is, and with the plan's set-points alone. `over_pu_h` is the worst row's.
    """

    plan: Annotated[str, ShownAs("plan")]
    what: Annotated[str, ShownAs("year of")]
    utilisation: Annotated[float | None, ShownAs("utilisation", 2)]
    n_hours_outside: Annotated[int, ShownAs("hours outside limits")]
    over_pu_h: Annotated[float, ShownAs("outside (pu h/year)", 4, secondary=True)]
    lowest_pu: Annotated[float, ShownAs("lowest (pu)", 4)]
    highest_pu: Annotated[float, ShownAs("highest (pu)", 4)]
    tap_steps: Annotated[int, ShownAs("tap steps")]
    tap_cost: Annotated[float, ShownAs("tap steps ($/year)", 0)]
    losses_mwh: Annotated[float, ShownAs("losses (MWh/year)", 1)]
    losses_cost: Annotated[float, ShownAs("losses ($/year)", 0)]


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
