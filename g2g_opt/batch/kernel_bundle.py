"""All tables of a batch power flow as one object, so that a call into compiled code hands over one thing, not sixty.

Taking sixty arrays apart costs more than solving a small feeder; a bundle is put together once per change of taps.
"""

from __future__ import annotations

from typing import Any

from numba import njit, types
from numba.experimental import structref

_FIELDS = (
    "pattern",
    "loads",
    "ports",
    "ratings",
    "bus_nodes",
    "factors",
    "factor_of_chunk",
    "power",
    "load_share",
    "active",
    "state",
    "work",
    "out",
)


@structref.register
class BundleType(types.StructRef):
    """Numba's type of a `Bundle`."""

    def preprocess_fields(self, fields: Any) -> Any:
        """Fields by their general types."""
        return tuple((name, types.unliteral(kind)) for name, kind in fields)


class Bundle(structref.StructRefProxy):
    """The tables of `kernel_tables` by lower-case name, `factor_of_chunk`, `power`, `load_share` and `active`;
    `bus_nodes` are the three places (times 2 W) of every bus whose unbalance is told.
    """


structref.define_proxy(Bundle, BundleType, list(_FIELDS))


@njit(cache=True)
def bundle(
    pattern: Any,
    loads: Any,
    ports: Any,
    ratings: Any,
    bus_nodes: Any,
    factors: Any,
    factor_of_chunk: Any,
    power: Any,
    load_share: Any,
    active: Any,
    state: Any,
    work: Any,
    out: Any,
) -> Any:
    """Put tables together; the arrays are shared, not copied."""
    return Bundle(
        pattern, loads, ports, ratings, bus_nodes, factors, factor_of_chunk, power, load_share, active, state, work, out
    )
