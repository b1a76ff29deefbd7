"""What a load branch draws at a voltage (equation 5.1), as figures that a compiled kernel evaluates.

A branch draws I = g(m) v, with v the voltage across it (V), m = |v| and g an admittance. Inside its window

    g(m) = cz + ci / m + cp / m^2                                                              constant Z, I and P

covers OpenDSS's models 1, 2, 3, 5, 8 and 4 with its usual exponents; outside, every model turns into an impedance in
three pieces, model 8 part by part. Exponents of one's own (model 4) are a series in the voltage inside a usual window;
in a wider one, and with a drop-out voltage (model 8), branches are evaluated one by one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.circuit.parts import LoadBranch
from g2g_opt.circuit.units import OwnUnit, UnitLaw
from g2g_opt.compiled.kernel import inner

Floats = NDArray[np.float64]

# Columns of a law: in-window coefficients (re, im), window edges (V), squares of the edges, impedance pieces, specials.
CZ, CI, CP = 0, 2, 4
EDGE_LOW, EDGE_MIN, EDGE_MAX = 6, 7, 8
MIN_SQUARED, MAX_SQUARED = 9, 10
Y_BELOW, CURRENT_AT_0, CURRENT_SLOPE, Y_ABOVE = 11, 13, 15, 17
SPECIAL, SPECIAL_FIRST = 19, 20
N_COLUMNS = 25
_PLAIN, _EXPONENTS, _DROP_OUT = 0.0, 1.0, 2.0
# An exponent's law inside a window no wider than usual is a Chebyshev series in the voltage, exact to rounding:
# centre (V), 1 / half width (1 / V), then conductances and susceptances (S) by degree.
SERIES_DEGREE = 11
N_SERIES = 2 + 2 * (SERIES_DEGREE + 1)
_SERIES_RTOL = 1e-12

_KNOWN_MODELS = (1, 2, 3, 4, 5, 8)
_CONSTANT_CURRENT = 5
_FIXED_VARS = 6
FIXED_VARS_MODELS = (6, 7)


@dataclass(frozen=True)
class Window:
    """Voltages (pu of the branch's base) between which a model holds, and below which it is a plain impedance."""

    low_pu: float
    min_pu: float
    max_pu: float


def constant_power_law(base_v: float, window: Window) -> Floats:
    """Law of a constant-power branch (model 1) of one watt; the admittance of S is conj(S) times this one."""
    return _law(1, 1.0 + 0.0j, base_v, window, (1.0, 2.0), ())


def load_law(load: LoadBranch) -> Floats:
    """Law of one branch of a circuit's own load, all branches drawing the same.

    Raises `UnsupportedByBatch` for a model that is none of 1 to 8 (for 6 and 7 see `fixed_vars_laws`).
    """
    if load.model not in _KNOWN_MODELS:
        known = sorted((*_KNOWN_MODELS, *FIXED_VARS_MODELS))
        raise UnsupportedByBatch(f"load {load.name} has model {load.model}; known here: {known}")
    power_va = 1e3 * complex(load.kw, load.kvar) / len(load.branch_nodes())
    window = Window(load.low_pu, *load.window_pu)
    return _law(load.model, power_va, load.branch_base_v, window, load.cvr_exponents, load.zipv)


def fixed_vars_laws(load: LoadBranch) -> tuple[Floats, Floats]:
    """Laws of one branch of a load of model 6 or 7: what follows the load level, and vars (`fixed_kvar`) that do not.

    Below `low_pu` OpenDSS lets the vars follow it, too.
    """
    n = len(load.branch_nodes())
    power_va, fixed_var = 1e3 * complex(load.kw, load.kvar) / n, 1e3 * load.fixed_kvar / n
    base_v, (least_pu, most_pu) = load.branch_base_v, load.window_pu
    watts, fixed = np.zeros(N_COLUMNS), np.zeros(N_COLUMNS)
    yeq = power_va.conjugate() / base_v**2
    for law in (watts, fixed):
        law[[EDGE_LOW, EDGE_MIN, EDGE_MAX]] = load.low_pu * base_v, least_pu * base_v, most_pu * base_v
        law[MIN_SQUARED], law[MAX_SQUARED] = (max(least_pu, load.low_pu) * base_v) ** 2, (most_pu * base_v) ** 2
    watts[CP] = power_va.real
    watts[Y_BELOW], watts[Y_BELOW + 1] = yeq.real, yeq.imag
    watts[CURRENT_SLOPE], watts[Y_ABOVE] = yeq.real / (least_pu or 1.0) ** 2, yeq.real / (most_pu or 1.0) ** 2
    susceptance = -fixed_var / base_v**2
    fixed[CURRENT_SLOPE + 1] = fixed[Y_ABOVE + 1] = susceptance
    if load.model == _FIXED_VARS:
        fixed[CP + 1] = -fixed_var
    else:
        fixed[CZ + 1] = susceptance
    return watts, fixed


def unit_law(unit: OwnUnit) -> Floats:
    """Law of one branch of a generator, PV system or storage: what it draws, so minus what it feeds in.

    Raises `UnsupportedByBatch` for a law that is not known.
    """
    law = np.zeros(N_COLUMNS)
    base_v, s = unit.base_v, -unit.power_va
    least_pu, most_pu = unit.window_pu
    yeq = s.conjugate() / base_v**2
    law[[EDGE_LOW, EDGE_MIN, EDGE_MAX]] = -1.0, least_pu * base_v, most_pu * base_v
    law[MIN_SQUARED], law[MAX_SQUARED] = (least_pu * base_v) ** 2, (most_pu * base_v) ** 2
    cz, cp, at_0 = 0j, s.conjugate(), 0j
    below = unit.outside_share * yeq / (least_pu or 1.0) ** 2
    above = unit.outside_share * yeq / (most_pu or 1.0) ** 2
    match unit.law:
        case UnitLaw.POWER:
            pass
        case UnitLaw.IMPEDANCE:
            cz, cp = unit.outside_share * yeq, 0j
            law[EDGE_MIN], law[MIN_SQUARED] = 0.0, 0.0
            law[EDGE_MAX] = law[MAX_SQUARED] = math.inf
        case UnitLaw.VARS | UnitLaw.VARS_IMPEDANCE:
            susceptance = 1j * unit.outside_share * yeq.imag
            below, above = below.real + susceptance, above.real + susceptance
            if unit.law is UnitLaw.VARS_IMPEDANCE:
                cp, cz = complex(s.real), susceptance
        case UnitLaw.LIMITED | UnitLaw.LIMITED_TURNED:
            limit = s if unit.law is UnitLaw.LIMITED_TURNED else s.conjugate()
            below, at_0 = 0j, limit / (least_pu * base_v)
            law[EDGE_MAX] = law[MAX_SQUARED] = math.inf
        case _:
            raise UnsupportedByBatch(f"{unit.kind} {unit.name} {unit.unlike}, which is not modelled")
    for column, value in ((CZ, cz), (CP, cp), (CURRENT_AT_0, at_0), (CURRENT_SLOPE, below), (Y_ABOVE, above)):
        law[column : column + 2] = value.real, value.imag
    law[Y_BELOW : Y_BELOW + 2] = below.real, below.imag
    return law


def _law(
    model: int,
    power_va: complex,
    base_v: float,
    window: Window,
    exponents: tuple[float, float],
    zipv: tuple[float, ...],
) -> Floats:
    law = np.zeros(N_COLUMNS)
    p, q = power_va.real, power_va.imag
    yeq = power_va.conjugate() / base_v**2
    low, least, most = (pu * base_v for pu in (window.low_pu, window.min_pu, window.max_pu))
    cz = ci = cp = 0.0j
    # Shares (of P, of Q) that outside the window act as constant power and as constant current did inside.
    as_power, as_current = ((0.0, 0.0), (1.0, 1.0)) if model == _CONSTANT_CURRENT else ((1.0, 1.0), (0.0, 0.0))
    kept = 0.0j
    match model:
        case 1:
            cp = power_va.conjugate()
        case 2:
            cz = yeq
        case 3:
            cp, cz = complex(p), 1j * yeq.imag
        case 4:
            if exponents == (1.0, 2.0):
                ci, cz = complex(p / base_v), 1j * yeq.imag
            else:
                law[SPECIAL : SPECIAL_FIRST + 5] = (_EXPONENTS, p, q, base_v, *exponents)
        case 5:
            ci = power_va.conjugate() / base_v
        case 8:
            z_p, i_p, p_p, z_q, i_q, p_q, drop_out_pu = zipv
            cz = complex(yeq.real * z_p, yeq.imag * z_q)
            ci, cp = complex(p * i_p, -q * i_q) / base_v, complex(p * p_p, -q * p_q)
            as_power, as_current, kept = (p_p, p_q), (i_p, i_q), cz
            if drop_out_pu > 0.0:
                law[SPECIAL : SPECIAL_FIRST + 2] = (_DROP_OUT, base_v, drop_out_pu)
    for column, value in ((CZ, cz), (CI, ci), (CP, cp)):
        law[column : column + 2] = value.real, value.imag
    if model == 2:
        # An impedance whatever the voltage.
        law[EDGE_MAX] = law[MAX_SQUARED] = math.inf
        return law
    law[EDGE_LOW], law[EDGE_MIN], law[EDGE_MAX] = low, least, most
    law[MIN_SQUARED], law[MAX_SQUARED] = max(least, low) ** 2, most**2
    if law[SPECIAL] != _PLAIN:
        # No voltage is inside the window that the three coefficients cover.
        law[MIN_SQUARED] = math.inf
    current_min = _shares(yeq * base_v / window.min_pu if window.min_pu else 0.0j, as_power)
    current_min += _shares(yeq * base_v, as_current)
    current_low = _shares(yeq * low, as_power) + _shares(yeq * low, as_current)
    slope = (current_min - current_low) / (least - low) if least > low else 0.0j
    at_0 = current_low - slope * low
    slope += kept
    most_pu = window.max_pu or 1.0
    above = _shares(yeq / most_pu**2, as_power) + _shares(yeq / most_pu, as_current) + kept
    for column, value in ((Y_BELOW, yeq), (CURRENT_AT_0, at_0), (CURRENT_SLOPE, slope), (Y_ABOVE, above)):
        law[column : column + 2] = value.real, value.imag
    return law


def window_series(law: Floats) -> Floats | None:
    """The Chebyshev series of a law with exponents of its own inside its window; None where it is none, or too wide."""
    least, most = law[EDGE_MIN], law[EDGE_MAX]
    if law[SPECIAL] != _EXPONENTS or not 0.0 < least < most < math.inf:
        return None
    centre, half = 0.5 * (least + most), 0.5 * (most - least)

    def inside(u: Floats) -> Floats:
        found = [admittance(law, min(centre + half * x, most)) for x in np.maximum(u, -1.0 + 1e-12)]
        return np.array([(g.real, g.imag) for g in found])

    at = np.polynomial.chebyshev.chebpts1(4 * SERIES_DEGREE)
    series, other = (np.polynomial.chebyshev.chebfit(at, inside(at)[:, k], SERIES_DEGREE) for k in (0, 1))
    tried = np.linspace(-1.0 + 1e-9, 1.0, 41)
    found = np.array([np.polynomial.chebyshev.chebval(tried, part) for part in (series, other)]).T
    size = np.abs(inside(tried)).max()
    if not np.abs(found - inside(tried)).max() < _SERIES_RTOL * size:
        return None
    return np.concatenate([[centre, 1.0 / half], series, other])


def _shares(y: complex, of: tuple[float, float]) -> complex:
    return complex(y.real * of[0], y.imag * of[1])


@inner
def law_admittance(law: Floats, m: float) -> tuple[float, float]:
    """g(m) of a law at |v| = m (V): conductance and susceptance (S)."""
    if m <= law[EDGE_LOW]:
        re, im = law[Y_BELOW], law[Y_BELOW + 1]
    elif m <= law[EDGE_MIN]:
        re = law[CURRENT_AT_0] / m + law[CURRENT_SLOPE]
        im = law[CURRENT_AT_0 + 1] / m + law[CURRENT_SLOPE + 1]
    elif m > law[EDGE_MAX]:
        re, im = law[Y_ABOVE], law[Y_ABOVE + 1]
    elif law[SPECIAL] == _EXPONENTS:
        p, q, base_v = law[SPECIAL_FIRST], law[SPECIAL_FIRST + 1], law[SPECIAL_FIRST + 2]
        a, b = law[SPECIAL_FIRST + 3], law[SPECIAL_FIRST + 4]
        re, im = p * (m / base_v) ** a / (m * m), -q * (m / base_v) ** b / (m * m)
    else:
        re = law[CZ] + law[CI] / m + law[CP] / (m * m)
        im = law[CZ + 1] + law[CI + 1] / m + law[CP + 1] / (m * m)
    if law[SPECIAL] == _DROP_OUT and m > law[EDGE_LOW]:
        # OpenDSS lets go of such a load along a steep hyperbolic tangent, but not of the impedance it is below.
        on = 0.5 * (1.0 + math.tanh(500.0 * (m / law[SPECIAL_FIRST] - law[SPECIAL_FIRST + 1])))
        re, im = re * on, im * on
    return re, im


def admittance(law: Floats, m: float) -> complex:
    """g(m) of a law at |v| = m (V), S."""
    return complex(*law_admittance.py_func(law, m))


@inner
def law_derivative(law: Floats, m: float, g_re: float, g_im: float) -> tuple[float, float]:
    """g'(m) of a law whose g(m) is given, at |v| = m (V), of the piece that m lies in: no jump at an edge is seen."""
    if m <= law[EDGE_LOW]:
        return 0.0, 0.0
    if m <= law[EDGE_MIN]:
        re, im = -law[CURRENT_AT_0] / (m * m), -law[CURRENT_AT_0 + 1] / (m * m)
    elif m > law[EDGE_MAX]:
        re, im = 0.0, 0.0
    elif law[SPECIAL] == _EXPONENTS:
        # Powers of m: P m^(a - 2) and Q m^(b - 2).
        re, im = (law[SPECIAL_FIRST + 3] - 2.0) * g_re / m, (law[SPECIAL_FIRST + 4] - 2.0) * g_im / m
    else:
        re = -(law[CI] + 2.0 * law[CP] / m) / (m * m)
        im = -(law[CI + 1] + 2.0 * law[CP + 1] / m) / (m * m)
    if law[SPECIAL] == _DROP_OUT:
        let_go = math.tanh(500.0 * (m / law[SPECIAL_FIRST] - law[SPECIAL_FIRST + 1]))
        on, per_volt = 0.5 * (1.0 + let_go), 500.0 / law[SPECIAL_FIRST] * (1.0 - let_go)
        re, im = re * on + g_re * per_volt, im * on + g_im * per_volt
    return re, im


def law_jacobian(law: Floats, v: complex) -> Floats:
    """Derivative of the branch current by its voltage (re, im) at v, as a block (a, b, c, d), S."""
    m = abs(v)
    g = admittance(law, m)
    radial = complex(*law_derivative.py_func(law, m, g.real, g.imag)) * v / m
    # dI = g dv + v g'(m) Re(conj(v) dv) / m
    return np.array(
        [
            g.real + radial.real * v.real,
            -g.imag + radial.real * v.imag,
            g.imag + radial.imag * v.real,
            g.real + radial.imag * v.imag,
        ]
    )
