"""Voltages against the distance from the source, by phase: without a site, and the lowest that runs with one left."""

from __future__ import annotations

from collections.abc import Mapping

from g2g_opt.base_case import BaseCase
from studies.shared.conclusion import Chart, Envelope, Line

_PHASES = "ABC"


def base_case_chart(base: BaseCase, envelope: Envelope | None) -> Chart | None:
    """The picture that planners look for first; None where the circuit has no solution without a site.

    `envelope` holds the voltages of one candidate's runs, of which the lowest are drawn beside the base case.
    """
    distance_km = base.distance_km or {}
    without: dict[str, float] = {n.name: n.voltage_pu for n in base.voltages if n.judged and n.bus in distance_km}
    if not without:
        return None
    lines = _lines("without", without, distance_km)
    if envelope is not None:
        lowest = dict(zip(envelope.nodes, envelope.lowest_pu, strict=True))
        shared = {name: lowest[name] for name in without if name in lowest}
        lines += _lines("lowest with", shared, distance_km)
    what = "without a site" + (f" and with {envelope.title}" if envelope is not None else "")
    unit = "km" if not base.without_unit else f"as given: OpenDSS keeps no unit of {base.without_unit} lines"
    return Chart(
        title=f"Voltage against distance from the source, {what}",
        x_title=f"distance along lines ({unit})",
        y_title="voltage (pu)",
        lines=lines,
    )


def _lines(what: str, voltage_pu: Mapping[str, float], distance_km: Mapping[str, float]) -> tuple[Line, ...]:
    found = []
    for phase in _PHASES:
        names = sorted(
            (name for name in voltage_pu if name.endswith(f".{phase}")), key=lambda n: distance_km[n.rpartition(".")[0]]
        )
        if names:
            found.append(
                Line(
                    f"{phase} {what}",
                    [distance_km[name.rpartition(".")[0]] for name in names],
                    [voltage_pu[name] for name in names],
                    points=True,
                    text=names,
                )
            )
    return tuple(found)
