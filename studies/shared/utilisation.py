"""Sites draw what they draw: ways through a range of utilisation, and rests within it, beside a study's own run."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from g2g_opt.errors import InputError
from g2g_opt.scenario import Scenario

# Shares of the replicas at which a site is also judged at rest, and steps (s) of such a run, with taps settled.
N_RESTS, _REST_S = 5, 10

# Least and largest share of the replicas that may be active.
Range = tuple[float, float]


def way_through(run: Scenario, utilisation: Range) -> Scenario:
    """A run from one end of a utilisation range to the other and back, as long as the study's own."""
    low, high = utilisation
    span = float(run.duration_s)
    ramps = ((0.0, 0.45 * span, high), (0.5 * span, 0.95 * span, low))
    name = f"{run.name}, from {low:g} to {high:g} of the replicas and back"
    return replace(run, name=name, replica_share_start=low, replica_ramps=ramps)


def rests_within(run: Scenario, utilisation: Range) -> tuple[Scenario, ...]:
    """Short runs at rest, evenly through a utilisation range, at the own load of a run."""
    low, high = utilisation
    shares = [low + (high - low) * k / (N_RESTS - 1) for k in range(N_RESTS)]
    rest = replace(run, duration_s=_REST_S, dt_s=Fraction(1), control_dt_s=Fraction(1), replica_ramps=(), training=())
    return tuple(replace(rest, name=f"at {share:g} of the replicas", replica_share_start=share) for share in shares)


def scenarios_within(run: Scenario, utilisation: Range, *, with_controller: bool) -> tuple[Scenario, ...]:
    """A run, the way through the range and back, and rests within it.

    A controller needs time to act: with one a site is judged in motion alone.
    """
    moving = (run, way_through(run, utilisation))
    return moving if with_controller else (*moving, *rests_within(run, utilisation))


def check_range(utilisation: Range) -> None:
    """Raise `InputError` for a range that does not rise."""
    if not utilisation[0] < utilisation[1]:
        raise InputError(
            "the utilisation range goes from the least share of the replicas to a larger one, as in 0,1, got "
            f"{utilisation[0]:g},{utilisation[1]:g}"
        )
