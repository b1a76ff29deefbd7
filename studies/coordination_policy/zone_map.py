"""The zones and the flows between them, drawn as a chart: where zones lie is schematic."""

from __future__ import annotations

from g2g_opt.transmission.system import ZonalSystem
from studies.coordination_policy.rows import Floats
from studies.shared.conclusion import Chart, Line

# Rough middles of New York's load zones (longitude, latitude), for a map that is recognised.
_PLACE = {
    "West": (-78.7, 42.7),
    "Genese": (-77.6, 43.1),
    "Centrl": (-76.2, 42.8),
    "North": (-74.2, 44.6),
    "Mhk Vl": (-75.1, 43.4),
    "Capitl": (-73.7, 42.8),
    "Hud Vl": (-74.2, 41.7),
    "Millwd": (-73.75, 41.4),
    "Dunwod": (-73.8, 41.05),
    "N.Y.C.": (-74.0, 40.7),
    "Longil": (-73.1, 40.8),
}


def zone_map(title: str, system: ZonalSystem, flow_mw: Floats, theta_mw: Floats) -> Chart:
    """Lines named by their mean flow and limit, zones by the mean load of their datacenters."""
    lines = []
    for k, (a, b) in enumerate(zip(system.from_zone, system.to_zone, strict=True)):
        begin, end = system.zones[a], system.zones[b]
        if flow_mw[k] < 0.0:
            begin, end = end, begin
        (x0, y0), (x1, y1) = _PLACE[begin], _PLACE[end]
        name = f"{begin} to {end}: {abs(flow_mw[k]):,.0f} of {system.limit_mw[k]:,.0f} MW"
        lines.append(Line(name, [x0, x1], [y0, y1], text=[name, name]))
    centers = {
        system.zones[zone]: f", datacenter {mw:,.0f} MW"
        for zone, mw in zip(system.datacenter_zone, theta_mw, strict=True)
    }
    words = [name + centers.get(name, "") for name in system.zones]
    x, y = zip(*(_PLACE[name] for name in system.zones), strict=True)
    lines.append(Line("zones", x, y, points=True, text=words))
    return Chart(title, "longitude (schematic)", "latitude (schematic)", tuple(lines))
