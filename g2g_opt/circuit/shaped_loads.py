"""A compiled circuit's own loads, each at the share that the loads of its shape draw."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.element_names import INJECTION_PREFIX
from g2g_opt.circuit.elements import load_branches
from g2g_opt.circuit.engine_library import ffi, lib
from g2g_opt.circuit.opendss_circuit import KEEP_YPRIM, Circuit

Floats = NDArray[np.float64]


class ShapedLoads:
    """The own loads of a circuit that vary; `shapes` are those that they follow over a year ("": none).

    Their power without LoadMult, which OpenDSS still applies, is that of when this was made.
    """

    def __init__(self, circuit: Circuit) -> None:
        shape_of = {load.name: load.shape for load in load_branches(circuit) if load.varies}
        self.shapes = tuple(sorted({"", *shape_of.values()}))
        batch, size = ffi.new("void***"), ffi.new("int32_t[4]")
        lib.Batch_CreateByClassS(circuit.context, batch, size, b"Load")
        found = [batch[0][k] for k in range(size[0])]
        names = [ffi.string(lib.Obj_GetName(one)).decode().lower() for one in found]
        own = [k for k, name in enumerate(names) if name in shape_of and not name.startswith(INJECTION_PREFIX)]
        self._loads = ffi.new("void*[]", [found[k] for k in own])
        lib.Batch_Dispose(batch[0])
        self._shape = np.array([self.shapes.index(shape_of[names[k]]) for k in own], dtype=np.int64)
        self._stated = {
            prop: np.array([float(circuit.ask_property(f"Load.{names[k]}.{prop.decode()}")) for k in own])
            for prop in (b"kW", b"kvar")
        }
        self._now: Floats | None = None

    def set_shares(self, share: Floats) -> None:
        """Let every load draw the share (shape,) of its shape."""
        if not len(self._shape) or (self._now is not None and np.array_equal(share, self._now)):
            return
        for prop, stated in self._stated.items():
            values = stated * share[self._shape]
            pointer = ffi.cast("double*", values.ctypes.data)
            lib.Batch_SetFloat64ArrayS(self._loads, len(values), prop, pointer, KEEP_YPRIM)
        self._now = share.copy()
