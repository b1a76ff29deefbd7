"""What a file states behind `MakePosSeq`, which is of one phase that stands for three."""

from __future__ import annotations

from collections.abc import Sequence

from g2g_opt.circuit.script_file.described_elements import BATCH, MAKES_MATRICES, described_at, first_behind_clear
from g2g_opt.errors import InputError

# Of the phases of what they look at, or of none.
_OF_ANY_PHASES = frozenset(
    {"energymeter", "monitor", "loadshape", "tshape", "priceshape", "growthshape", "spectrum", "xycurve", "tcc_curve"}
)


def raise_on_one_phase(commands: Sequence[str], places: Sequence[str], ahead: Sequence[int]) -> None:
    """`InputError` naming what commands state of elements behind a MakePosSeq, ahead of which `ahead` of them stand."""
    begin = first_behind_clear(commands) if ahead else 0
    first = next((n for n in ahead if n >= begin), len(commands))
    for k, name, _ in described_at(commands) if first < len(commands) else ():
        kind = name.removeprefix(f"{BATCH} ").partition(".")[0]
        if k >= first and name != MAKES_MATRICES and kind not in _OF_ANY_PHASES:
            raise InputError(
                f"{places[k]}: {name} is stated behind MakePosSeq, as one phase that stands for three; a study takes "
                "the circuit with its three phases: state it of these and leave MakePosSeq out, or ahead of it"
            )
