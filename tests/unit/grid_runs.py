"""A grid run by itself."""

from __future__ import annotations

from g2g_opt.coordinator import Coordinator
from g2g_opt.grid.opendss import OpenDSSGrid


def run(grid: OpenDSSGrid, n_steps: int = 2) -> None:
    Coordinator(datacenters=grid.attached_datacenters, grid=grid, total_duration_s=n_steps).run()
