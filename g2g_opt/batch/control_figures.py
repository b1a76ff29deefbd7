"""Settings of controls as the compiled kernels read them: a row of figures each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch import capacitor_kernel as cap
from g2g_opt.batch import regulator_kernel as reg
from g2g_opt.circuit.controls import CapControlSettings, RegControlSettings

Floats = NDArray[np.float64]


def reg_figures(control: RegControlSettings) -> Floats:
    """Settings of a regulator, of shape (figure,), in OpenDSS's units."""
    own = np.zeros(reg.N_SETTINGS)
    seen = control.remote_pt_ratio if control.bus else control.pt_ratio
    own[[reg.VREG, reg.BAND, reg.PT, reg.PT_SEEN]] = control.vreg, control.band, control.pt_ratio, seen
    own[[reg.CT, reg.R, reg.X, reg.Z]] = control.ct_prim, control.r, control.x, control.z
    own[[reg.DELAY, reg.TAP_DELAY, reg.V_LIMIT]] = control.delay_s, control.tap_delay_s, control.v_limit
    own[[reg.REV_VREG, reg.REV_BAND]] = control.reverse_vreg, control.reverse_band
    own[[reg.REV_R, reg.REV_X, reg.REV_Z]] = control.reverse_r, control.reverse_x, control.reverse_z
    own[[reg.REV_POWER, reg.REV_DELAY]] = control.reverse_power_w, control.reverse_delay_s
    own[[reg.BASE_V, reg.TAP_MIN, reg.TAP_MAX]] = control.base_v, control.tap_min_pu, control.tap_max_pu
    own[reg.TAP_STEP] = control.tap_step_pu
    return own


def cap_figures(control: CapControlSettings) -> Floats:
    """Settings of a bank's control, of shape (figure,), in OpenDSS's units."""
    own = np.zeros(cap.N_SETTINGS)
    own[[cap.ON, cap.OFF, cap.PT, cap.CT]] = control.on, control.off, control.pt_ratio, control.ct_ratio
    own[[cap.DELAY, cap.DELAY_OFF, cap.DEAD_TIME]] = control.delay_s, control.delay_off_s, control.dead_time_s
    own[[cap.V_MAX, cap.V_MIN]] = control.v_max, control.v_min
    own[[cap.BANK_KVAR, cap.MIN_KVAR]] = control.bank_kvar, control.min_kvar_percent
    return own
