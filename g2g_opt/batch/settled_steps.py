"""`SettledSteps`: steps of a power flow in which own controls settle, made by compiled code where they can be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.moving_lanes_kernel import MovingLanes
from g2g_opt.batch.network_losses import NetworkLosses
from g2g_opt.batch.own_controls import OwnControls, Settling
from g2g_opt.batch.own_controls_kernel import act_in_round
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.batch.power_flow_kernel import solve_chunks
from g2g_opt.batch.settled_steps_kernel import (
    Kernels,
    Moves,
    StepsInTurn,
    Told,
    begin_step,
    run_steps,
    tell_step,
)
from g2g_opt.circuit.clock_banks import RowClock
from g2g_opt.clock import DAY_S
from g2g_opt.compiled.lanes import aligned
from g2g_opt.compiled.program import entry_of
from g2g_opt.compiled.records import Packed, pack

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class SettledSteps:
    """So many steps of all slots of a flow, a whole number of chunks, again and again; `node_v` (node, 2, slot) are its
    voltages of all nodes. Voltages of `places` are told, and those of the nodes `unbalanced`. The steps are a day,
    whose hours controls see by the `clock`, if any.
    """

    def __init__(
        self,
        flow: BatchPowerFlow,
        controls: OwnControls,
        losses: NetworkLosses,
        node_v: Floats,
        n_steps: int,
        places: Ints,
        unbalanced: Ints,
        clock: RowClock | None = None,
    ) -> None:
        self._flow, self._controls, self._losses, self._node_v = flow, controls, losses, node_v
        self._clock = clock
        n = flow.n_slots
        self._shares, self._powers = np.empty((n_steps, flow.load_share.size)), np.empty((n_steps, flow.power.size))
        self._told = Told(
            np.empty((n_steps, len(controls.all_taps()), n)),
            np.empty((len(places) + len(flow.branch_names), n_steps, n)),
            places,
            aligned(n_steps, n),
            np.empty((n_steps, n), dtype=np.bool_),
            np.zeros((n_steps, n), dtype=np.bool_),
            unbalanced,
            np.empty((len(unbalanced), 2, n_steps, n)),
        )
        # What is packed for kernels, and the lanes of the flow that it is packed for.
        self._known: tuple[Packed, MovingLanes] | None = None

    def run(self, shares: Floats, power_va: NDArray[np.complex128]) -> Told:
        """What steps come to at `shares` (step, chunk, shape, lane) of loads and `power_va` (step, chunk, port, lane)
        of ports; until it is called again.
        """
        self._shares.reshape(shares.shape)[:] = shares
        powers = self._powers.reshape(*power_va.shape[:3], 2, power_va.shape[3])
        powers[:, :, :, 0], powers[:, :, :, 1] = power_va.real, power_va.imag
        step, n_steps = 0, len(self._shares)
        while self._clock is not None and step < n_steps:
            # A clock is put on by Python, step by step.
            self._controls.set_clock(*self._clock.at(step * DAY_S / n_steps))
            self._make(self._packed(), step)
            step += 1
        while step < n_steps:
            packed = self._packed()
            step = run_steps(packed.address, step)
            if step < n_steps:
                self._make(packed, step)
                step += 1
        return self._told

    def _make(self, packed: Packed, step: int) -> None:
        """A step that compiled code has not made, from where it stands."""
        flow = self._flow
        begin_step(packed.address, step)
        flow.solve()
        restless = self._controls.act(flow, np.flatnonzero(flow.solved))
        self._told.restless[step] = False
        self._told.restless[step, restless] = True
        tell_step(packed.address, step)
        self._controls.moved.clear()
        flow.reset(np.flatnonzero(~flow.solved))

    def _packed(self) -> Packed:
        own = self._controls.settling(self._flow)
        if self._known is None or self._known[1] is not self._flow.lanes:
            self._known = self._pack(own), self._flow.lanes
        return self._known[0]

    def _pack(self, own: Settling) -> Packed:
        flow, out, moving = self._flow, self._flow.solutions, self._flow.jacobian.moving
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
                self._told,
            )
        )
