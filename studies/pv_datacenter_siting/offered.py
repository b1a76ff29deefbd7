"""What a siting question offers to be built besides sizes of plants: budgets of zones, and storage beside PV."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated

from g2g_opt.errors import InputError
from g2g_opt.flag import Flag
from g2g_opt.quantities import (
    CountFromZero,
    EnergyKwh,
    HourOfDay,
    InnerShare,
    PowerKw,
    PowerKwAboveZero,
    ShareAboveZero,
    UsdPerKw,
    UsdPerKwhOfSize,
)
from studies.shared.question_model import question_model


@question_model
class PVZone:
    """At most `count` PV plants, and together `total_max_kw` (None: no limit), at the candidates of a feeder's zone."""

    zone: str
    count: CountFromZero
    total_max_kw: PowerKw | None = None


@question_model
class Storage:
    """Storage beside PV: sizes at most per plant, yearly costs, one-way efficiency.

    Under regulators' own controls it follows a `StorageRule`, so that it knows no future: `charge_above` and
    `discharge_from_h` are the rule's, chosen by simulation where they are None. Every kW has the energy that the
    largest size has, and a plant at most `charge_above` of its size, so that nothing is charged from the grid. With
    foresight of taps its dispatch has foresight too, and follows no rule.
    """

    power_max_kw: Annotated[
        PowerKwAboveZero,
        Flag(
            "--storage",
            "offer storage beside every plant, up to this power and energy",
            metavar="KW,KWH",
            unset="none is offered",
        ),
    ]
    energy_max_kwh: Annotated[EnergyKwh, Flag("--storage", "its energy")]
    cost_per_kw: Annotated[UsdPerKw, Flag("--storage-cost-per-kw", "of its power")] = 20.0
    cost_per_kwh: Annotated[UsdPerKwhOfSize, Flag("--storage-cost-per-kwh", "of its energy", metavar="$")] = 25.0
    efficiency: Annotated[ShareAboveZero, Flag("--storage-efficiency", "of charging, and of discharging")] = 0.95
    charge_above: Annotated[
        InnerShare | None,
        Flag(
            "--storage-charge-above",
            "it charges while the sun is above this share of PV's size",
            unset="chosen by simulation",
        ),
    ] = None
    discharge_from_h: Annotated[
        HourOfDay | None,
        Flag("--storage-discharge-from-h", "it discharges from this hour of the day on", unset="chosen by simulation"),
    ] = None

    @property
    def duration_h(self) -> float:
        """Energy (kWh) of a kW."""
        return self.energy_max_kwh / self.power_max_kw

    @property
    def is_ruled(self) -> bool:
        """Is a figure of its rule given?"""
        return self.charge_above is not None or self.discharge_from_h is not None


def read_zones(texts: Sequence[str], question: object) -> tuple[PVZone, ...]:
    """Budgets of zones from a command line: ZONE=N or ZONE=N,KW."""
    matches = [re.fullmatch(r"([^=]+)=([0-9]{1,12})(?:,([0-9]+(?:\.[0-9]*)?))?", text.strip()) for text in texts]
    for text, match in zip(texts, matches, strict=True):
        if match is None:
            raise InputError(f"--pv-zone {text!r} cannot be read; write e.g. z1_sw=2 or z1_sw=2,800")
    return tuple(PVZone(m[1], int(m[2]), float(m[3]) if m[3] else None) for m in matches if m is not None)
