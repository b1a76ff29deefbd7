"""What a circuit lacks for planning studies: a list of findings, none of which stops a power flow."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from g2g_opt.circuit.parts import Branch
from g2g_opt.errors import listed
from g2g_opt.feeder import Feeder
from g2g_opt.grid.loading import judged_ratings
from g2g_opt.limits import RatingBasis

FindingKind = Literal["rating", "coordinates", "island", "open switch", "voltage base", "regulators", "left out"]

_BASE_OFF_MAX = 0.1


@dataclass(frozen=True)
class LintFinding:
    """One thing missing: what kind, which elements, and what it means for a study."""

    kind: FindingKind
    elements: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        shown = listed(self.elements, 8)
        return f"{self.kind}: {self.message}" + (f" [{shown}]" if shown else "")


def placeholder_rated_lines(feeder: Feeder) -> tuple[str, ...]:
    """Lines that carry OpenDSS's default rating of 400 A, because nobody stated one: it judges nothing."""
    return tuple(b.name for b in feeder.branches if b.kind == "line" and b.rating_a > 0.0 and not b.rating_is_stated)


def placeholder_rated_transformers(feeder: Feeder) -> tuple[str, ...]:
    """Transformers of OpenDSS's default size of 1,000 kVA, because nobody stated one."""
    return tuple(b.name for b in feeder.branches if b.kind in ("transformer", "autotrans") and not b.rating_is_stated)


def lines_of_unlike_conductors(feeder: Feeder) -> tuple[str, ...]:
    """Lines of unlike conductors, which OpenDSS rates by one of them, with the ratings of their phases."""
    return tuple(
        f"{b.name}: {_from_to(b)} A, in OpenDSS {b.opendss_rating_a:.4g} A"
        for b in feeder.branches
        if b.kind == "line" and (0.0 < b.rating_a != b.opendss_rating_a or b.conductor_shares)
    )


def _from_to(branch: Branch) -> str:
    strongest_a = branch.rating_a * max(branch.conductor_shares, default=1.0)
    return f"{branch.rating_a:.4g}" + (f" to {strongest_a:.4g}" if strongest_a > branch.rating_a else "")


def transformers_rated_below_their_size(feeder: Feeder) -> tuple[str, ...]:
    """Transformers whose normal rating is below their kVA: OpenDSS keeps it where a later line sets another `kva`."""
    return tuple(
        f"{b.name}: {100.0 * b.normal_over_nameplate:.4g} %"
        for b in feeder.branches
        if b.kind in ("transformer", "autotrans") and b.normal_over_nameplate < 1.0 - 1e-9
    )


def loads_of_another_base(feeder: Feeder) -> tuple[str, ...]:
    """Loads whose stated kV is more than a tenth off the base of their bus, with both (kV, line to neutral)."""
    found = []
    for load in feeder.own_loads:
        base_kv = feeder.buses[load.bus].kv_ln
        if load.rated_kv_ln is not None and base_kv > 0.0 and abs(load.rated_kv_ln / base_kv - 1.0) > _BASE_OFF_MAX:
            found.append(f"{load.name} at {load.bus}: {load.rated_kv_ln:.4g} kV, base {base_kv:.4g}")
    return tuple(found)


def places(feeder: Feeder) -> dict[str, tuple[float, float]]:
    """Where buses lie on a map of the feeder; none where coordinates tell no two buses apart, so that a map is a layout
    of its own.
    """
    placed = {b.name: b.xy for b in feeder.buses.values() if b.xy is not None and all(map(math.isfinite, b.xy))}
    # All at one point: a file of coordinates that are all zero.
    return placed if len(set(placed.values())) >= min(2, len(feeder.buses)) else {}


def lint_feeder(feeder: Feeder) -> list[LintFinding]:
    """Findings on ratings, coordinates, islands, open switches, voltage bases and regulators."""
    open_branches = tuple(b.name for b in feeder.branches if not b.closed)
    on_maps = "buses without coordinates: " + (
        "they are missing on maps (SetBusXY or Buscoords)"
        if places(feeder)
        else "maps are a layout by the branches, as too few are given (SetBusXY or Buscoords)"
    )
    findings = [
        LintFinding(
            "rating", placeholder_rated_lines(feeder), "lines of no stated rating, which are not judged: state normamps"
        ),
        LintFinding(
            "rating",
            placeholder_rated_transformers(feeder),
            "transformers of no stated size, which are not judged: state kva",
        ),
        LintFinding(
            "rating",
            lines_of_unlike_conductors(feeder),
            "lines of unlike conductors: each phase is judged by its own, OpenDSS rates all by the first one, be it a "
            "neutral; where another rating is meant, state normamps behind the line's geometry or wires",
        ),
        LintFinding(
            "rating",
            transformers_rated_below_their_size(feeder),
            "transformers whose normal rating is below their size, as it stays behind when a later line sets kva: "
            "state kvas, or normhkva and emerghkva",
        ),
        LintFinding("rating", unrated_branches(feeder), "branches without a rating: their loading cannot be judged"),
        LintFinding("coordinates", tuple(b.name for b in feeder.buses.values() if b.xy is None), on_maps),
        LintFinding("island", feeder.isolated_buses, "buses that no source serves: no site can go there"),
        LintFinding("open switch", open_branches, "branches that are open or disabled in the compiled circuit"),
        LintFinding(
            "open switch",
            tuple(b.name for b in feeder.branches if b.closed and b.has_open_conductor),
            "branches with an open conductor: the other phases carry current",
        ),
        LintFinding(
            "voltage base",
            tuple(b.name for b in feeder.buses.values() if b.kv_ln <= 0.0),
            "buses without a base: voltages in pu are undefined there (Set VoltageBases and "
            "CalcVoltageBases belong behind the last element)",
        ),
        LintFinding(
            "voltage base",
            loads_of_another_base(feeder),
            "loads rated for another voltage than the base of their bus: a band in pu of that base is not theirs "
            "(Set VoltageBases, or the load's kV)",
        ),
    ]
    if not feeder.regulators:
        findings.append(LintFinding("regulators", (feeder.name,), "no RegControl: taps cannot be optimised"))
    findings.append(LintFinding("left out", feeder.left_out, "lines of the circuit's files that no solution needs"))
    return [finding for finding in findings if finding.elements]


def unjudged_elements(feeder: Feeder, basis: RatingBasis = "normal") -> tuple[str, ...]:
    """Elements ("line.671692") that carry current and whose loading no limit looks at: nobody stated their rating."""
    judged = {rating.element for rating in judged_ratings(feeder.branches, basis)}
    return tuple(name for b in feeder.branches if b.closed and (name := f"{b.kind}.{b.name}") not in judged)


def unrated_branches(feeder: Feeder) -> tuple[str, ...]:
    """Branches whose loading cannot be judged, for want of a rating; all but lines with their kind."""
    return tuple(
        b.name if b.kind == "line" else f"{b.kind}.{b.name}"
        for b in feeder.branches
        if b.rating_a <= 0.0 and (b.closed or b.kind in ("line", "transformer"))
    )


def format_findings(findings: Iterable[LintFinding]) -> str:
    """Findings as lines of text; says so if there are none."""
    return "\n".join(str(f) for f in findings) or "nothing is missing"
