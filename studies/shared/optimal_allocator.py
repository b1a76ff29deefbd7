"""The allocator of clients that solves an optimal power flow: what a study hands to a simulated or a live run."""

from __future__ import annotations

from g2g_opt.allocation.allocators import SeenClients
from g2g_opt.allocation.client_grid import ClientGrid
from solvers.curtailment import CurtailmentProblem, Floats, solve_curtailment


class OptimalAllocator:
    """Caps by the AC optimum of what is known; voltages of its answers are checked on OpenDSS as they are given."""

    def __init__(self, grid: ClientGrid, v_min_pu: float, v_max_pu: float) -> None:
        self._grid, self._equivalent, self._band = grid, grid.equivalent(), (v_min_pu, v_max_pu)
        self.excess_max_pu = 0.0

    def reset(self) -> None:
        """It remembers nothing of a run."""

    def allocate(self, seen: SeenClients) -> Floats | None:
        """Caps (kW); None if no power keeps the band."""
        of_grid, (v_min_pu, v_max_pu) = self._equivalent, self._band
        solution = solve_curtailment(
            CurtailmentProblem(
                of_grid.open_circuit_pu,
                of_grid.impedance_pu_per_kva,
                of_grid.client_bus,
                seen.load_kva,
                seen.available_kw,
                v_min_pu,
                v_max_pu,
            )
        )
        if solution.power_kw is None:
            return None
        voltage_pu = self._grid.voltage_pu(seen.load_kva - solution.power_kw)
        excess_pu = max(float(voltage_pu.max()) - v_max_pu, v_min_pu - float(voltage_pu.min()))
        self.excess_max_pu = max(self.excess_max_pu, excess_pu)
        return solution.power_kw
