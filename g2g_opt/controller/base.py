"""What every controller is, and the check that it fits what it is given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from types import UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin

from g2g_opt.clock import SimulationClock
from g2g_opt.datacenter.base import DatacenterBackend
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.errors import InputError
from g2g_opt.events import EventEmitter
from g2g_opt.grid.base import GridBackend
from g2g_opt.grid.command import GridCommand

DCBackendT = TypeVar("DCBackendT", bound=DatacenterBackend[Any])
GridBackendT = TypeVar("GridBackendT", bound=GridBackend[Any])


class Controller(ABC, Generic[DCBackendT, GridBackendT]):
    """Base class of controllers. Derive from `Controller[SomeDatacenter, SomeGrid]`: the Coordinator refuses a run
    in which a datacenter or the grid is no instance of these.

    A subclass gives `dt_s`, `reset` and `step`; it keeps the components it reads, given to its constructor.
    """

    @property
    @abstractmethod
    def dt_s(self) -> Fraction:
        """Period of this component (s)."""

    @abstractmethod
    def reset(self) -> None:
        """Clear all simulation state and keep the configuration."""

    @abstractmethod
    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        """Read states and return commands, in the order they shall be dispatched; [] for none."""

    @property
    def looks_ahead(self) -> int:
        """At how many of its next steps `look`, between `begin_block` and `end_block`, can stand for `step`."""
        return 0

    def begin_block(self, times_s: Sequence[float]) -> None:
        """The sites have made the steps of these times (s); the grid is about to."""

    def look(self, place: int) -> bool:
        """Read states as at one time of the block, which the grid has just solved; True if there are commands."""
        raise InputError(f"{type(self).__name__} acts step by step only")

    def end_block(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        """The commands of the latest look."""
        raise InputError(f"{type(self).__name__} acts step by step only")

    def start(self) -> None:
        """Acquire resources before a run."""

    def stop(self) -> None:
        """Release what `start` acquired."""

    @classmethod
    def compatible_datacenter_types(cls) -> tuple[type, ...]:
        """The datacenter classes named in `Controller[...]`."""
        return _bound_types(cls, 0) or (DatacenterBackend,)

    @classmethod
    def compatible_grid_types(cls) -> tuple[type, ...]:
        """The grid classes named in `Controller[...]`."""
        return _bound_types(cls, 1) or (GridBackend,)

    @classmethod
    def compatibility_signature(cls) -> str:
        """The classes it fits, as text: Controller[datacenters, grids]."""
        sides = (cls.compatible_datacenter_types(), cls.compatible_grid_types())
        return "Controller[" + ", ".join(" | ".join(t.__name__ for t in side) for side in sides) + "]"

    def check_fits(self, datacenters: Sequence[DatacenterBackend[Any]], grid: GridBackend[Any]) -> None:
        """`InputError` if a datacenter or the grid is not of a class this controller is written for."""
        misfits = [dc for dc in datacenters if not isinstance(dc, self.compatible_datacenter_types())]
        if misfits:
            raise InputError(
                f"{type(self).__name__} is a {self.compatibility_signature()} and cannot run with datacenter "
                f"{misfits[0].name!r} of class {type(misfits[0]).__name__}"
            )
        if not isinstance(grid, self.compatible_grid_types()):
            raise InputError(
                f"{type(self).__name__} is a {self.compatibility_signature()} and cannot run with a grid of class "
                f"{type(grid).__name__}"
            )


def _bound_types(cls: type, place: int) -> tuple[type, ...]:
    """Classes bound to the type parameter at `place`, looked up through the bases of `cls`."""
    for base in getattr(cls, "__orig_bases__", ()):
        origin = get_origin(base)
        if origin is Controller:
            return _classes(get_args(base)[place])
        if isinstance(origin or base, type) and issubclass(origin or base, Controller):
            return _bound_types(origin or base, place)
    for parent in cls.__bases__:
        if parent is not Controller and issubclass(parent, Controller):
            return _bound_types(parent, place)
    return ()


def _classes(annotation: Any) -> tuple[type, ...]:
    if get_origin(annotation) in (Union, UnionType):
        return tuple(c for part in get_args(annotation) for c in _classes(part))
    plain = get_origin(annotation) or annotation
    return (plain,) if isinstance(plain, type) else ()
