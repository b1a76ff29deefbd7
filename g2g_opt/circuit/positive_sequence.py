"""Circuits of which OpenDSS counts one phase for three: `MakePosSeq` and `Set CktModel=Positive`.

Every power that is read there counts three times, and a site is one phase of three, so that figures would be a third.
"""

from __future__ import annotations

from g2g_opt.circuit.elements import elements
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.errors import InputError

_POSITIVE = 1  # CktModels.PositiveSeq
_COUNTED_ONCE = "Set CktModel=Multiphase"


def counted_once(circuit: Circuit) -> tuple[list[str], str]:
    """Commands after which a compiled circuit's powers count once, and words on them; none where they do.

    Raises `InputError` where all elements have one phase, which stands for three.
    """
    # Asked for the option `cktmodel`, OpenDSS answers nothing where it is positive.
    if circuit.ask("Settings_Get_CktModel") != _POSITIVE:
        return [], ""
    if all(circuit.ask("CktElement_Get_NumPhases") < 2 for _ in elements(circuit)):
        raise InputError(
            "the circuit is stated in its positive sequence (MakePosSeq, or CktModel=Positive with elements of one "
            "phase), in which one phase stands for three, and a site has three; study it as it is with its three phases"
        )
    return [_COUNTED_ONCE], (
        "the file says that its circuit is a positive sequence (CktModel=Positive), for which OpenDSS counts every "
        "power three times; it has elements of three phases, and is studied as these"
    )
