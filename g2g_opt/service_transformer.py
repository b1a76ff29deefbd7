"""The transformer of a campus's own, between a bus of the feeder and the site."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated, Literal, get_args

from g2g_opt.circuit.element_names import as_word
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.flag import Flag
from g2g_opt.quantities import PowerKva, TransformerPercent, VoltageKv, check_quantities

VectorGroup = Literal["Dyn", "YNyn", "YNd", "Dd"]
_CONNECTION = {"D": "delta", "YN": "wye", "d": "delta", "yn": "wye"}


@dataclass(frozen=True)
class ServiceTransformer:
    """A three-phase transformer that only the site is behind: nameplate (kVA), short-circuit impedance and load loss
    (% of that), the site's voltage (kV, line to line) and the vector group.

    Losses without load are left out. The site's own side is outside the feeder's voltage limits; the transformer's
    loading counts like any other's, against 110 % of its nameplate (see `docs/circuits.md`).
    """

    kva: Annotated[PowerKva, Flag("--service-kva", "nameplate", unset="none, the site is at the bus itself")]
    z_percent: Annotated[TransformerPercent, Flag("--service-z-percent", "short-circuit impedance")] = 5.75
    load_loss_percent: Annotated[TransformerPercent, Flag("--service-loss-percent", "load loss at full load")] = 0.8
    kv: Annotated[VoltageKv, Flag("--service-kv", "the site's voltage, line to line")] = 0.48
    group: Annotated[VectorGroup, Flag("--service-group", "vector group, the feeder's side first")] = "Dyn"

    def __post_init__(self) -> None:
        check_quantities(self)
        if not self.load_loss_percent < self.z_percent:
            raise InputError(
                f"a service transformer's impedance ({self.z_percent:g} %) must be more than its load loss "
                f"({self.load_loss_percent:g} %)"
            )
        if self.group not in get_args(VectorGroup):
            raise InputError(f"vector group {self.group!r} is unknown; known: {list(get_args(VectorGroup))}")

    @property
    def connections(self) -> tuple[str, str]:
        """Windings of the feeder's and of the site's side: "wye" or "delta"."""
        first = "YN" if self.group.startswith("YN") else "D"
        return _CONNECTION[first], _CONNECTION[self.group.removeprefix(first)]


def service_bus(bus: str) -> str:
    """The site's own bus behind a bus of the feeder."""
    return f"g2g_site_{bus}"


def with_services(feeder: Feeder, buses: Sequence[str], service: ServiceTransformer) -> Feeder:
    """The feeder with such a transformer at every one of `buses`, with nothing behind it until a site is put there
    (equation 5.10).

    Raises `InputError` for a bus without three phases or a base, and for a grounded wye where the bus has no path for
    zero-sequence current.
    """
    commands: list[str] = []
    first, second = service.connections
    x_percent = math.sqrt(service.z_percent**2 - service.load_loss_percent**2)
    for name in dict.fromkeys(buses):
        bus = feeder.bus(name)
        if bus.phases != (1, 2, 3) or bus.kv_ln <= 0.0:
            raise InputError(f"bus {bus.name} has phases {bus.phases}; a service transformer needs three, and a base")
        if first == "wye" and bus.three_wire:
            raise InputError(f"bus {bus.name} has no neutral: a service transformer there is Dyn or Dd")
        place = as_word(f"{bus.name}.1.2.3" + (f".{bus.neutral}" if first == "wye" else ""))
        commands.append(
            f"New {as_word(f'Transformer.g2g_service_{bus.name}')} phases=3 windings=2 xhl={x_percent:.9g} "
            f"%loadloss={service.load_loss_percent:.9g} "
            f"wdg=1 bus={place} conn={first} kv={math.sqrt(3.0) * bus.kv_ln:.9g} kva={service.kva:.9g} "
            f"wdg=2 bus={as_word(service_bus(bus.name))} conn={second} kv={service.kv:.9g} kva={service.kva:.9g}"
        )
    commands.append("MakeBusList")
    own = {feeder.bus(name).name: service_bus(feeder.bus(name).name) for name in buses}
    commands += [f"SetkVBase bus={as_word(behind)} kvll={service.kv:.9g}" for behind in own.values()]
    extended = feeder.extended(commands)
    return replace(
        extended,
        exclude_buses=tuple(dict.fromkeys((*feeder.exclude_buses, *own.values()))),
        service_buses=MappingProxyType(own),
    )
