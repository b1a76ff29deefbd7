"""Ratings of lines that are made of wires or cables: what each of their conductors carries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from g2g_opt.circuit.opendss_circuit import Circuit

_CONDUCTOR_KINDS = ("WireData", "CNData", "TSData")
_EMERGENCY_SHARE = 1.5  # of the normal rating, in OpenDSS, where a conductor states one of the two


class ConductorRating(NamedTuple):
    """Normal and emergency rating (A) of a conductor, or of a line made of some; 0 where there is none."""

    normal_a: float
    emergency_a: float


class LineRating(NamedTuple):
    """A line's ratings (A) by its weakest conductor, and those of each conductor as shares of them, in their order.

    The shares are empty where one rating holds for all conductors.
    """

    weakest: ConductorRating
    normal_shares: tuple[float, ...] = ()
    emergency_shares: tuple[float, ...] = ()


class ConductorRatings:
    """Ratings of a circuit's wires and cables, and of its lines by what these are made of.

    OpenDSS rates such a line by one conductor: the first of its geometry or of its own list, and the last of a list
    until it is solved (for good if the line states its emergency rating alone), be that a neutral or the strongest
    of unlike phases. We judge every phase of a line by its own conductor, and a neutral that is one of the line's
    "phases" (`phases=4`, or the third wire of a service) by its own as well.
    """

    def __init__(self, circuit: Circuit) -> None:
        self._geometries = circuit.stated_properties_of("LineGeometry")
        self._of_conductor = {
            f"{kind}.{name}".lower(): _rating(properties)
            for kind in _CONDUCTOR_KINDS
            for name, properties in circuit.stated_properties_of(kind).items()
        }

    @property
    def is_empty(self) -> bool:
        """Whether the circuit has no wires and cables that a line could be made of."""
        return not self._of_conductor

    def of_line(self, stated: Mapping[str, Any], n_phases: int, opendss: ConductorRating) -> LineRating | None:
        """Rating of a line by its phases' conductors; None where it is not made of conductors.

        `stated` are its properties, `opendss` its rating there. What a line or its geometry states of itself stays:
        it is told by being another than the one conductor's that OpenDSS would take.
        """
        geometry = self._geometries.get(str(stated.get("geometry", "")).lower(), {})
        names = geometry.get("conductors") or stated.get("conductors") or ()
        if not names:
            return None
        ratings = [self._of_conductor.get(str(name).lower(), ConductorRating(0.0, 0.0)) for name in names]
        taken, phases = (ratings[0], ratings[-1]), ratings[:n_phases]
        normal = [r.normal_a for r in phases]
        emergency = [r.emergency_a for r in phases]
        own_normal = "normamps" not in geometry and opendss.normal_a in {r.normal_a for r in taken}
        own_emergency = "emergamps" not in geometry and opendss.emergency_a in {r.emergency_a for r in taken}
        return LineRating(
            ConductorRating(
                _weakest(normal) if own_normal else opendss.normal_a,
                _weakest(emergency) if own_emergency else opendss.emergency_a,
            ),
            _shares(normal) if own_normal else (),
            _shares(emergency) if own_emergency else (),
        )


def _rating(stated: Mapping[str, Any]) -> ConductorRating:
    """A wire's or cable's ratings (A); of one that nobody stated OpenDSS makes the other."""
    normal_a, emergency_a = (float(stated.get(name, 0.0)) for name in ("normamps", "emergamps"))
    return ConductorRating(normal_a or emergency_a / _EMERGENCY_SHARE, emergency_a or normal_a * _EMERGENCY_SHARE)


def _weakest(ratings_a: Sequence[float]) -> float:
    return min((rating_a for rating_a in ratings_a if rating_a > 0.0), default=0.0)


def _shares(ratings_a: Sequence[float]) -> tuple[float, ...]:
    """Ratings over the weakest of them; a conductor that has none is judged by the weakest."""
    weakest_a = _weakest(ratings_a)
    if len(set(ratings_a)) == 1 or weakest_a == 0.0:
        return ()
    return tuple(rating_a / weakest_a if rating_a > 0.0 else 1.0 for rating_a in ratings_a)
