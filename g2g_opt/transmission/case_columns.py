"""Names of columns and codes that statements of a MATPOWER-style case may use, counted from 1 as that language does.

Facts of the format (MATPOWER User's Manual, appendix B; version 2 of the case format), in the order in which its
functions hand them out.
"""

from __future__ import annotations

_BUS = (
    "PQ PV REF NONE BUS_I BUS_TYPE PD QD GS BS BUS_AREA VM VA BASE_KV ZONE VMAX VMIN LAM_P LAM_Q MU_VMAX MU_VMIN",
    (1, 2, 3, 4, *range(1, 18)),
)
_BRANCH = (
    "F_BUS T_BUS BR_R BR_X BR_B RATE_A RATE_B RATE_C TAP SHIFT BR_STATUS PF QF PT QT MU_SF MU_ST ANGMIN ANGMAX "
    "MU_ANGMIN MU_ANGMAX",
    (*range(1, 12), *range(14, 20), 12, 13, 20, 21),
)
_GEN = (
    "GEN_BUS PG QG QMAX QMIN VG MBASE GEN_STATUS PMAX PMIN MU_PMAX MU_PMIN MU_QMAX MU_QMIN PC1 PC2 QC1MIN QC1MAX "
    "QC2MIN QC2MAX RAMP_AGC RAMP_10 RAMP_30 RAMP_Q APF",
    (*range(1, 11), *range(22, 26), *range(11, 22)),
)
_COST = ("PW_LINEAR POLYNOMIAL MODEL STARTUP SHUTDOWN NCOST COST", (1, 2, *range(1, 6)))
_DC_LINE = (
    "F_BUS T_BUS BR_STATUS PF PT QF QT VF VT PMIN PMAX QMINF QMAXF QMINT QMAXT LOSS0 LOSS1 MU_PMIN MU_PMAX MU_QMINF "
    "MU_QMAXF MU_QMINT MU_QMAXT",
    tuple(range(1, 24)),
)

# Of functions that hand out numbers in an order: `[PQ, PV, REF] = idx_bus;`.
COLUMNS: dict[str, tuple[tuple[str, int], ...]] = {
    function: tuple(zip(names.split(), numbers, strict=True))
    for function, (names, numbers) in {
        "idx_bus": _BUS,
        "idx_brch": _BRANCH,
        "idx_gen": _GEN,
        "idx_cost": _COST,
        "idx_dcline": _DC_LINE,
    }.items()
}
# Those that `define_constants` names by themselves; columns of DC lines have names of branches in them.
CONSTANTS: dict[str, int] = {
    name: number for function, pairs in COLUMNS.items() if function != "idx_dcline" for name, number in pairs
}
