"""The hours of a study through a year: a profile's, whose load the circuit's own shapes may take the place of."""

from __future__ import annotations

from dataclasses import replace

from g2g_opt.circuit.studied_hour import hour_of
from g2g_opt.feeder import Feeder
from g2g_opt.grid.own_year import OwnYear, read_own_year
from g2g_opt.hourly_profile import HourlyProfile, load_profile
from g2g_opt.scenario import Scenario


def studied_hours(profile: str, own_of: Feeder | None = None) -> HourlyProfile:
    """The hours of a profile by its name; with the load, all loads together, of the shapes of the circuit `own_of`."""
    found = load_profile(profile)
    if own_of is None:
        return found
    return replace(found, load_share=tuple(own_year_of(own_of, found).mean_share.tolist()))


def own_year_of(feeder: Feeder, profile: HourlyProfile) -> OwnYear:
    """What a circuit's own shapes say in the hours of a profile, by its dates; `InputError` as `read_own_year`."""
    return read_own_year(feeder.commands, tuple(round(hour_of(at)) for at in profile.hours))


def through_own_year(feeder: Feeder, scenario: Scenario) -> Feeder:
    """The feeder, whose state says what was done to the figures of a scenario's profile.

    Where a scenario goes through the circuit's own shapes, it also says what they do in those hours.
    """
    if scenario.profile is None:
        return feeder
    hours = load_profile(scenario.profile)
    feeder = replace(feeder, state=(*feeder.state, *hours.file_notes()))
    if not scenario.own_shapes:
        return feeder
    dates = (
        f"its hours are those of profile {hours.name} ({hours.span}), whose load_share is not used; its sun shines on "
        "what follows no shape"
    )
    return replace(feeder, state=(*feeder.state, *own_year_of(feeder, hours).words, dates))
