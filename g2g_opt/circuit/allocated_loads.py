"""Loads that a circuit's file lets OpenDSS allocate to what its meters read (`AllocateLoads`), in words."""

from __future__ import annotations

import re
from collections.abc import Sequence

from g2g_opt.circuit.elements import in_service
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.errors import listed, number_of

_ALLOCATES = re.compile(r"\s*allocateloads\b", re.IGNORECASE)
_NAMED = 6


def allocation_words(circuit: Circuit, commands: Sequence[str]) -> list[str]:
    """How many loads were allocated, what they come to, and meters whose peak current nobody stated; none without any.

    OpenDSS takes 400 A a phase for such a meter and scales the loads behind it until it reads that.
    """
    if not any(map(_ALLOCATES.match, commands)):
        return []
    allocated_kw = []
    for load in in_service(circuit, "load"):
        if any(float(circuit.ask_property(f"{load}.{of}")) > 0.0 for of in ("xfkva", "kwh")):
            allocated_kw.append(float(circuit.ask_property(f"{load}.kw")))
    if not allocated_kw:
        return []
    words = (
        f"AllocateLoads of the file sets {number_of(len(allocated_kw), 'load')} (xfkva or kwh), "
        f"{sum(allocated_kw):,.6g} kW in all, so that meters read their peak currents"
    )
    unstated = []
    for kind in ("energymeter", "sensor"):
        for meter in in_service(circuit, kind):
            circuit.activate(meter)
            if not {"peakcurrent", "currents", "kws"} & circuit.stated_properties().keys():
                unstated.append(meter)
    if unstated:
        words += f"; nobody stated that of {listed(unstated, _NAMED)}: OpenDSS's own stands for it, 400 A a phase"
    return [words]
