"""Kernels that few power flows need: compiled when one does, and not with every first start."""

from __future__ import annotations

import numpy as np

from g2g_opt.batch.held_kernel import correct_held
from g2g_opt.batch.held_voltages import HeldVoltages
from g2g_opt.batch.kept_lanes_kernel import keep_lanes, put_lanes_back
from g2g_opt.batch.kernel_tables import CORRECT_HELD, KEEP_LANES, N_RARE, PUT_LANES_BACK
from g2g_opt.compiled.program import entry_of


class RareKernels:
    """Their `addresses` (`kernel_tables.FlowCall`) in one flow, that of held voltages where a generator holds one."""

    def __init__(self, held: HeldVoltages) -> None:
        self.addresses = np.zeros(N_RARE, dtype=np.int64)
        if len(held.slope_pu):
            self.addresses[CORRECT_HELD] = entry_of(correct_held)

    def keep_lanes(self) -> None:
        """Some lanes are going to be solved while others keep what they have."""
        if self.addresses[KEEP_LANES] == 0:
            self.addresses[[KEEP_LANES, PUT_LANES_BACK]] = entry_of(keep_lanes), entry_of(put_lanes_back)
