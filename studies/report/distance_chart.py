"""Voltages against the distance from the source, by phase: without a site, and in the runs with what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from g2g_opt.base_case import BaseCase, NodeVoltage
from g2g_opt.limits import Limits
from studies.shared.conclusion import Chart, Envelope, Line

_PHASES = "ABC"
Reach = tuple[float, float]


def distance_chart(base: BaseCase, load_level: float, envelope: Envelope | None, limits: Limits) -> Chart | None:
    """The picture that planners look for first; None where the circuit has no solution without a site.

    `base` was solved at `load_level` (share of the circuit's own load). `envelope` holds the lowest and highest
    voltages of one candidate's runs, which are drawn at the same distances; bus-phases that it lacks are left out.
    """
    distance_km = base.distance_km or {}
    nodes = [n for n in base.judged if n.bus in distance_km and 1 <= n.phase <= len(_PHASES)]
    if not nodes:
        return None
    reach = _reach(nodes, envelope)
    lines, marked = [], [_mark(min(nodes, key=lambda n: n.voltage_pu), distance_km, "lowest without")]
    for phase in range(1, len(_PHASES) + 1):
        lines += _lines([n for n in nodes if n.phase == phase], distance_km, phase - 1, None, "without a site")
    for phase in range(1, len(_PHASES) + 1):
        of_phase = [n for n in nodes if n.phase == phase and (n.bus, n.phase) in reach]
        lines += _lines(of_phase, distance_km, phase - 1, reach, "with, lowest to highest")
    found = [n for n in nodes if (n.bus, n.phase) in reach]
    if found:
        weakest = min(found, key=lambda n: reach[n.bus, n.phase][0])
        low = reach[weakest.bus, weakest.phase][0]
        marked.append((distance_km[weakest.bus], low, f"{weakest.name}: lowest with"))
    state = "its controls at rest" if base.settled else "taps as studies begin"
    what = f"without a site (own load times {load_level:g}, {state})"
    if found and envelope is not None:
        what += f" and with {envelope.title}"
    n_bare = base.without_unit
    bare = f"; {n_bare} {'line' if n_bare == 1 else 'lines'} of which OpenDSS keeps no unit, as given" if n_bare else ""
    return Chart(
        title=f"Voltage against distance from the source, {what}",
        x_title=f"distance along lines (km{bare})",
        y_title="voltage (pu)",
        lines=tuple(lines),
        limits=(limits.voltage_min_pu, limits.voltage_max_pu),
        marked=tuple(marked),
    )


def _reach(nodes: Sequence[NodeVoltage], envelope: Envelope | None) -> Mapping[tuple[str, int], Reach]:
    """Lowest and highest voltage by bus and phase number, of bus-phases named by their voltage or by their phase."""
    if envelope is None:
        return {}
    ends = {
        name: (float(low), float(high))
        for name, low, high in zip(envelope.nodes, envelope.lowest_pu, envelope.highest_pu, strict=True)
        if low <= high
    }
    found: dict[tuple[str, int], Reach] = {}
    for node in nodes:
        both = ends.get(node.name) or ends.get(f"{node.bus}.{_PHASES[node.phase - 1]}")
        if both is not None:
            found[node.bus, node.phase] = both
    return found


def _mark(node: NodeVoltage, distance_km: Mapping[str, float], words: str) -> tuple[float, float, str]:
    return distance_km[node.bus], node.voltage_pu, f"{node.name}: {words}"


def _lines(
    nodes: Sequence[NodeVoltage],
    distance_km: Mapping[str, float],
    hue: int,
    reach: Mapping[tuple[str, int], Reach] | None,
    what: str,
) -> list[Line]:
    """The voltages of one phase; where a bus has no neutral they are from phase to phase, and called so."""
    if not nodes:
        return []
    ordered = sorted(nodes, key=lambda n: distance_km[n.bus])
    labels = "/".join(dict.fromkeys(sorted(node.label for node in ordered)))
    ends = [reach[n.bus, n.phase] if reach is not None else (n.voltage_pu, n.voltage_pu) for n in ordered]
    return [
        Line(
            f"{labels} {what}",
            [distance_km[n.bus] for n in ordered],
            [high for _, high in ends],
            points=True,
            text=[n.name for n in ordered],
            low=[low for low, _ in ends] if reach is not None else (),
            hue=hue,
        )
    ]
