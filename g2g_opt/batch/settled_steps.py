"""`SettledSteps`: steps of a power flow in which own controls settle, made by compiled code where they can be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.network_losses import NetworkLosses
from g2g_opt.batch.own_controls import OwnControls
from g2g_opt.batch.own_controls_kernel import act_in_round
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.batch.power_flow_kernel import solve_chunks
from g2g_opt.batch.settled_steps_kernel import Kernels, Moves, StepsInTurn, Told, begin_step, run_steps, tell_step
from g2g_opt.compiled.lanes import aligned
from g2g_opt.compiled.program import entry_of
from g2g_opt.compiled.records import Packed, pack

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class SettledSteps:
    """Steps of all slots of a flow, a whole number of chunks; `node_v` (node, 2, slot) are its voltages of all nodes.

    `shares` (step, chunk, shape, lane) of loads and `power_va` (step, chunk, port, lane) of ports are those of the
    steps. Voltages of `places` are told, and those of the nodes `unbalanced`.
    """

    def __init__(
        self,
        flow: BatchPowerFlow,
        controls: OwnControls,
        losses: NetworkLosses,
        node_v: Floats,
        shares: Floats,
        power_va: NDArray[np.complex128],
        places: Ints,
        unbalanced: Ints,
    ) -> None:
        self._flow, self._controls, self._losses, self._node_v = flow, controls, losses, node_v
        n, n_steps = flow.n_slots, len(shares)
        self._shares = np.ascontiguousarray(shares.reshape(n_steps, -1))
        parts = np.stack([power_va.real, power_va.imag], axis=3)
        self._powers = parts.reshape(n_steps, -1)
        self.told = Told(
            np.empty((n_steps, len(controls.all_taps()), n)),
            np.empty((len(places) + len(flow.branch_names), n_steps, n)),
            places,
            aligned(n_steps, n),
            np.empty((n_steps, n), dtype=np.bool_),
            np.zeros((n_steps, n), dtype=np.bool_),
            unbalanced,
            np.empty((len(unbalanced), 2, n_steps, n)),
        )

    def run(self) -> Told:
        """What all steps came to."""
        packed, step, n_steps = self._packed(), 0, len(self._shares)
        while step < n_steps:
            step = run_steps(packed.address, step)
            if step < n_steps:
                self._make(packed, step)
                packed, step = self._packed(), step + 1
        return self.told

    def _make(self, packed: Packed, step: int) -> None:
        """A step that compiled code has not made, from where it stands."""
        flow = self._flow
        begin_step(packed.address, step)
        flow.solve()
        restless = self._controls.act(flow, np.flatnonzero(flow.solved))
        self.told.restless[step] = False
        self.told.restless[step, restless] = True
        tell_step(packed.address, step)
        self._controls.moved.clear()
        flow.reset(np.flatnonzero(~flow.solved))

    def _packed(self) -> Packed:
        flow, out, moving = self._flow, self._flow.solutions, self._flow.jacobian.moving
        own = self._controls.settling(flow)
        start, on = moving.start
        places = np.array(moving.places(own.regulator_names), dtype=np.int64)
        bank_places = np.array(moving.bank_places(own.bank_names), dtype=np.int64)
        single, double = moving.products
        inverse = np.repeat(np.concatenate([[1.0], 1.0 / start])[:, None], flow.n_slots, axis=1)
        return pack(
            StepsInTurn(
                Kernels(entry_of(solve_chunks), *flow.addresses(), entry_of(act_in_round), own.look, own.rounds),
                flow.lanes,
                Moves(
                    1.0 / start,
                    on.copy(),
                    places,
                    bank_places,
                    single,
                    double,
                    len(moving.elements),
                    moving.n_monomials,
                ),
                self._losses.terms,
                self._shares,
                self._powers,
                flow.load_share.reshape(-1),
                flow.power.reshape(-1),
                flow.asked,
                out.solved,
                out.voltage_pu,
                out.loading_pu,
                self._node_v,
                own.awake,
                own.acted,
                own.moved,
                own.regulators,
                own.banks,
                inverse,
                self.told,
            )
        )
