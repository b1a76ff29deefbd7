"""Named quantities: what a number in a question or a noun may be, in one place, with its unit.

A field that is a number is annotated with one of them (`voltage_min_pu: LimitVoltagePu`). The range then holds
however the number comes: from a TOML file through pydantic, from a flag, or in Python, where `check_quantities` in
`__post_init__` applies it. Ranges are wide: they refuse what cannot be meant (NaN, infinities, a share in percent, a
run of a thousand years), not what is merely unusual.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import ArrayLike
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from g2g_opt.clock import as_period
from g2g_opt.errors import InputError, QuantityError, shown

_Number = (int, float, Fraction, np.integer, np.floating)
# The longest run: ten years. The most steps of one: what a machine of today can keep of a bus.
RUN_MAX_S = 10 * 366 * 24 * 3600
STEPS_MAX = 10_000_000


@dataclass(frozen=True)
class Bounds:
    """A range from `low` to `high`, both in it unless `above_low` or `below_high`; `unit` of the number, if it has one.

    `percent` says that a number above 1 was probably meant in percent. NaN lies in no range.
    """

    low: float
    high: float
    unit: str = ""
    above_low: bool = False
    below_high: bool = False
    percent: bool = False

    def __str__(self) -> str:
        ends = "(" if self.above_low else "[", ")" if self.below_high else "]"
        low, high = (str(x) if isinstance(x, int) else f"{x:g}" for x in (self.low, self.high))
        return f"{ends[0]}{low}, {high}{ends[1]}" + (f" {self.unit}" if self.unit else "")

    def refusal(self, value: Any, whole: bool = False) -> str | None:
        """Why a value is refused, None if it is not: "must lie in [0, 1], got 80; a share: 80 % is written 0.8"."""
        kinds = (int, np.integer) if whole else _Number
        if isinstance(value, bool) or not isinstance(value, kinds):
            return f"must be a {'whole ' if whole else ''}number in {self}, got {_said(value)}"
        # Not said as the opposite: comparisons with NaN are false.
        if self.low <= value <= self.high and not (
            (self.above_low and value == self.low) or (self.below_high and value == self.high)
        ):
            return None
        finite = not isinstance(value, float | np.floating) or math.isfinite(value)
        kind = "be a whole number" if whole else "lie" if finite else "be a finite number"
        said = f"must {kind} in {self}, got {_said(value)}"
        if self.percent and 1 < value <= 100:
            # Of 1.5 nobody knows whether it was to be percent, or more than all.
            said += "; it is a share" + (f": {value:g} % is written {value / 100:g}" if value >= 2 else ", 1 is all")
        return said

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """What pydantic checks: the type by itself, then this range, in the words that Python code gets."""
        if source is Fraction:
            return core_schema.no_info_before_validator_function(self._period_validator, handler(source))
        inner: Any = handler(source)
        if inner["type"] == "float":
            inner["allow_inf_nan"] = True  # refused below, with the range
        return core_schema.no_info_wrap_validator_function(self._validator(source is int), inner)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The range for other programs."""
        found = handler(schema)
        low, high = (int(x) if float(x).is_integer() else x for x in (self.low, self.high))
        ends: dict[str, Any] = {
            "exclusiveMinimum" if self.above_low else "minimum": low,
            "exclusiveMaximum" if self.below_high else "maximum": high,
        }
        for part in found.get("anyOf", [found]):
            if part.get("type") in ("integer", "number"):
                part.update(ends)
        return found | ({"description": f"unit: {self.unit}"} if self.unit else {})

    def _validator(self, whole: bool) -> Callable[[Any, Callable[[Any], Any]], Any]:
        def validate(value: Any, as_type: Callable[[Any], Any]) -> Any:
            # The range comes first: pydantic cannot turn 1e300 into a whole number, and takes true and "7" for numbers.
            if refusal := self.refusal(value):
                raise PydanticCustomError("quantity", "{refusal}", {"refusal": refusal})
            found = as_type(value)
            if refusal := self.refusal(found, whole):
                raise PydanticCustomError("quantity", "{refusal}", {"refusal": refusal})
            return found

        return validate

    def _period_validator(self, value: Any) -> Fraction:
        try:
            period = as_period(value, "a period")
        except InputError as error:
            raise PydanticCustomError("quantity", "{refusal}", {"refusal": str(error)}) from error
        if refusal := self.refusal(period):
            raise PydanticCustomError("quantity", "{refusal}", {"refusal": refusal})
        return period


def _said(value: object) -> str:
    """A value for a message; what only Python and numpy write otherwise as a plain number."""
    if isinstance(value, np.generic):
        return shown(value.item())
    return str(value) if isinstance(value, Fraction) and value.numerator < 2**63 else shown(value)


# --- shares: of 1, never in percent

Share = Annotated[float, Bounds(0, 1, percent=True)]
ShareAboveZero = Annotated[float, Bounds(0, 1, above_low=True, percent=True)]
ShareBelowOne = Annotated[float, Bounds(0, 1, below_high=True, percent=True)]
# A change of a share, either way.
ShareChange = Annotated[float, Bounds(-2, 2)]
InnerShare = Annotated[float, Bounds(0, 1, above_low=True, below_high=True, percent=True)]
# Of a feeder's own load, or of a year's mean sun: may be more than the data's.
LoadShare = Annotated[float, Bounds(0, 10, below_high=True)]
HourlyShare = Annotated[float, Bounds(0, 100)]
# How large something is next to what was given.
Scale = Annotated[float, Bounds(0, 1000, above_low=True)]
RelativeStd = Annotated[float, Bounds(0, 10)]

# --- electrical

LimitVoltagePu = Annotated[float, Bounds(0.5, 1.5, "pu", above_low=True, below_high=True)]
BandVoltagePu = Annotated[float, Bounds(0, 2, "pu", above_low=True)]
MarginPu = Annotated[float, Bounds(0, 0.05, "pu", below_high=True)]
ErrorPu = Annotated[float, Bounds(0, 1, "pu")]
IntegralPuS = Annotated[float, Bounds(0, 1e12, "pu s", above_low=True)]
LoadingPu = Annotated[float, Bounds(0, 10, "times the rating", above_low=True, percent=True)]
TapPu = Annotated[float, Bounds(0.5, 1.5, "pu")]
PowerFactor = Annotated[float, Bounds(0, 1, above_low=True)]
PowerKw = Annotated[float, Bounds(0, 1e7, "kW")]
PowerKwAboveZero = Annotated[float, Bounds(0, 1e7, "kW", above_low=True)]
PowerKva = Annotated[float, Bounds(0, 1e7, "kVA", above_low=True)]
EnergyKwh = Annotated[float, Bounds(0, 1e9, "kWh", above_low=True)]
PowerMw = Annotated[float, Bounds(0, 1e4, "MW", above_low=True)]
KwPerGpu = Annotated[float, Bounds(0, 100, "kW per GPU")]
WattPerGpu = Annotated[float, Bounds(0, 1e5, "W per GPU", above_low=True)]
TransformerPercent = Annotated[float, Bounds(0, 50, "%", above_low=True, below_high=True)]
VoltageKv = Annotated[float, Bounds(0, 1000, "kV", above_low=True)]
IdleLossPercent = Annotated[float, Bounds(0, 100, "%")]

SignedPowerKw = Annotated[float, Bounds(-1e7, 1e7, "kW")]
SignedPowerMw = Annotated[float, Bounds(-1e7, 1e7, "MW")]
GpuPowerW = Annotated[float, Bounds(0, 1e5, "W per GPU")]
BaseMva = Annotated[float, Bounds(0, 1e6, "MVA", above_low=True)]

# --- times

RunS = Annotated[int, Bounds(1, RUN_MAX_S, "s")]
TimeS = Annotated[float, Bounds(0, RUN_MAX_S, "s")]
# Schedules may begin before the run does.
ScheduleTimeS = Annotated[float, Bounds(-RUN_MAX_S, RUN_MAX_S, "s")]
DurationS = Annotated[float, Bounds(0, RUN_MAX_S, "s", above_low=True)]
# A template of power is kept for a whole period, step by step.
RipplePeriodS = Annotated[float, Bounds(10, 366 * 24 * 3600, "s")]
PeriodS = Annotated[Fraction, Bounds(0, RUN_MAX_S, "s", above_low=True)]
LatencyS = Annotated[float, Bounds(0, 1e4, "s", above_low=True)]
DelayS = Annotated[float, Bounds(0, 1e4, "s")]
MessageRate = Annotated[float, Bounds(0, 1e9, "messages per s", above_low=True)]
SlotH = Annotated[int, Bounds(1, 24, "h")]
HourOfDay = Annotated[int, Bounds(0, 23, "h")]
StorageHours = Annotated[float, Bounds(0, 1e5, "h", above_low=True)]
# Which lags a policy may have is for the controller to say: what a calendar says of coming hours is known.
LagH = Annotated[int, Bounds(-10 * 366 * 24, 10 * 366 * 24, "h")]
# How long a solver or a task may take.
WorkTimeS = Annotated[float, Bounds(0.001, 366 * 24 * 3600, "s")]

# --- counts

Count = Annotated[int, Bounds(1, 1_000_000)]
CountFromZero = Annotated[int, Bounds(0, 1_000_000)]
# Of scenarios, draws, rounds and plans that are listed one by one: more is no study of one machine.
TrainingSteps = Annotated[int, Bounds(1, 10_000_000_000)]
ScenarioCount = Annotated[int, Bounds(1, 100_000)]
DrawCount = Annotated[int, Bounds(1, 10_000)]
RoundCount = Annotated[int, Bounds(1, 1000)]
FewFromZero = Annotated[int, Bounds(0, 1000)]
GpuCount = Annotated[int, Bounds(1, 10_000_000, "GPUs")]
ReplicaCount = Annotated[int, Bounds(0, 10_000_000, "replicas")]
BatchSize = Annotated[int, Bounds(1, 1_000_000)]
WorkerCount = Annotated[int, Bounds(1, 4096)]
ThreadCount = Annotated[int, Bounds(1, 4096)]
BusNumber = Annotated[int, Bounds(0, 1_000_000_000)]
# What a row of results and a ledger can hold.
Seed = Annotated[int, Bounds(0, 2**63 - 1)]

# --- money

UsdPerKw = Annotated[float, Bounds(0, 1e6, "$ per kW and year")]
UsdPerKwh = Annotated[float, Bounds(-1e4, 1e4, "$ per kWh")]
UsdPerKwhOfSize = Annotated[float, Bounds(0, 1e6, "$ per kWh and year")]
UsdPerPuH = Annotated[float, Bounds(0, 1e9, "$ per pu and hour")]
UsdPerStep = Annotated[float, Bounds(0, 1e6, "$ per step")]

# --- policies and their training

# What moves a policy's output per unit of what it reads (as scaled), and where it begins.
LevelGain = Annotated[float, Bounds(-1e4, 1e4)]
FigureScale = Annotated[float, Bounds(1e-9, 1e12)]
Figure = Annotated[float, Bounds(-1e12, 1e12)]
Level = Annotated[float, Bounds(0, 1)]
PhaseRad = Annotated[float, Bounds(-100, 100, "rad")]
ShiftMw = Annotated[float, Bounds(-1e6, 1e6, "MW")]
ShiftMwPerUnit = Annotated[float, Bounds(-1e6, 1e6, "MW per unit")]
LatencyLoss = Annotated[float, Bounds(0, 1000, "times the latency")]
CoefficientSum = Annotated[float, Bounds(0, 1e9)]
StepSize = Annotated[float, Bounds(0, 1e6, above_low=True)]
Weight = Annotated[float, Bounds(0, 1e12)]

# --- curves and distributions

Steepness = Annotated[float, Bounds(0, 1e3, above_low=True)]
DoublingsOfBatch = Annotated[float, Bounds(-1e3, 1e3)]
LogLatency = Annotated[float, Bounds(-50, 50)]
LogLatencyStd = Annotated[float, Bounds(0, 10)]


# --- the check


_Refusal = tuple[str, str]  # where in the field, and why
# Items of a list that are checked one by one.
_FEW = 30
_Check = Callable[[Any], _Refusal | None]


def check_quantities(noun: Any) -> None:
    """Raise `QuantityError` for the first field of a dataclass instance that lies outside the range of its annotation.

    Nested dataclasses have checked themselves.
    """
    kind: Any = type(noun)
    for name, check in _checks(kind):
        refused = check(getattr(noun, name))
        if refused is not None:
            raise QuantityError(_named(noun), f"{name}{refused[0]}", refused[1])


def check_number(value: object, quantity: Any, what: str) -> None:
    """Raise `InputError` if a value lies outside the range of `quantity`; `what` names it."""
    kind, bounds = bounds_of(quantity)
    if refusal := bounds.refusal(value, kind is int):
        raise InputError(f"{what} {refusal}")


def check_array(values: ArrayLike, quantity: Any, what: str) -> None:
    """Raise `InputError` that names the first entry of an array (any shape) outside the range of `quantity`."""
    found, bounds = np.asarray(values, dtype=np.float64), bounds_of(quantity)[1]
    inside = (found > bounds.low) if bounds.above_low else (found >= bounds.low)
    inside &= (found < bounds.high) if bounds.below_high else (found <= bounds.high)
    if not inside.all():
        place = tuple(int(k) for k in np.argwhere(~inside)[0])
        raise InputError(f"{what}{list(place)} {bounds.refusal(float(found[place]))}")


def bounds_of(quantity: Any) -> tuple[type, Bounds]:
    """Type and range of a named quantity."""
    kind, *extras = get_args(quantity)
    return kind, next(extra for extra in extras if isinstance(extra, Bounds))


def _named(noun: object) -> str:
    """The class of a noun, with its own name if it has one."""
    name = getattr(noun, "name", None)
    return f"{type(noun).__name__} {name!r}" if isinstance(name, str) else type(noun).__name__


@cache
def _checks(kind: Hashable) -> tuple[tuple[str, _Check], ...]:
    """The fields of a class that hold numbers, and how each is checked; read from its annotations once."""
    hints = get_type_hints(kind, include_extras=True)
    found = ((name, _check_of(hints[name])) for name in getattr(kind, "__dataclass_fields__", ()))
    return tuple((name, check) for name, check in found if check is not None)


def _check_of(hint: Any) -> _Check | None:
    origin, args = get_origin(hint), get_args(hint)
    if is_quantity(hint):
        return _Leaf(*bounds_of(hint))
    if origin is Annotated:
        return _check_of(args[0])
    if origin in (Union, types.UnionType):
        inner = [check for check in map(_check_of, args) if check is not None]
        return _optional(inner[0]) if inner else None
    if origin is tuple:
        checks = [_check_of(arg) for arg in args if arg is not Ellipsis]
        if not any(checks):
            return None
        return _each(checks[0]) if args[-1] is Ellipsis and checks[0] is not None else _Places(checks)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        inner_check = _check_of(args[1])
        return _values(inner_check) if inner_check is not None else None
    return None


class _Leaf:
    """The check of a number."""

    def __init__(self, kind: Any, bounds: Bounds) -> None:
        self._kind, self._bounds, self._whole = kind, bounds, kind is int
        self._low, self._high, self._open_ends = bounds.low, bounds.high, bounds.above_low or bounds.below_high

    def __call__(self, value: Any) -> _Refusal | None:
        # Nouns are made by the thousand: what is plainly inside passes at once.
        if type(value) is self._kind and (
            self._low < value < self._high or (not self._open_ends and self._low <= value <= self._high)
        ):
            return None
        refusal = self._bounds.refusal(value, self._whole)
        return None if refusal is None else ("", refusal)

    def passes(self, values: Sequence[Any]) -> bool:
        """True if all of many numbers are plainly inside; else each has to be looked at."""
        if set(map(type, values)) != {self._kind}:
            return False
        found = np.array(values, dtype=np.float64)
        return bool((found > self._low).all() and (found < self._high).all()) or (
            not self._open_ends and bool((found >= self._low).all() and (found <= self._high).all())
        )


def _optional(inner: _Check) -> _Check:
    return lambda value: None if value is None else inner(value)


def _each(inner: _Check) -> _Check:
    def check(value: Any) -> _Refusal | None:
        if not _is_list(value):
            return "", f"must be a list, got {shown(value)}"
        # A year has thousands, whose numbers are looked at together.
        if len(value) > _FEW and isinstance(inner, _Leaf | _Places) and inner.passes(value):
            return None
        for k, item in enumerate(value):
            if (refused := inner(item)) is not None:
                return f"[{k}]{refused[0]}", refused[1]
        return None

    return check


class _Places:
    """The check of a list whose places have meanings of their own."""

    def __init__(self, checks: list[_Check | None]) -> None:
        self._length = len(checks)
        self._numbers = [(k, check) for k, check in enumerate(checks) if check is not None]

    def __call__(self, value: Any) -> _Refusal | None:
        if not _is_list(value) or len(value) != self._length:
            return "", f"must be a list of {self._length}, got {shown(value)}"
        for k, check in self._numbers:
            if (refused := check(value[k])) is not None:
                return f"[{k}]{refused[0]}", refused[1]
        return None

    def passes(self, values: Sequence[Any]) -> bool:
        """True if all of many lists are plainly what they have to be; else each has to be looked at."""
        if set(map(type, values)) != {tuple} or set(map(len, values)) != {self._length}:
            return False
        columns = list(zip(*values, strict=True))
        return all(isinstance(check, _Leaf) and check.passes(columns[k]) for k, check in self._numbers)


def _values(inner: _Check) -> _Check:
    def check(value: Any) -> _Refusal | None:
        for key, item in value.items():
            if (refused := inner(item)) is not None:
                return f"[{key!r}]{refused[0]}", refused[1]
        return None

    return check


def _is_list(value: Any) -> bool:
    # A tuple at once: asking for `Sequence` takes longer than all of its numbers.
    return type(value) is tuple or (isinstance(value, Sequence) and not isinstance(value, str))


def is_quantity(hint: Any) -> bool:
    """Whether an annotation is that of a number with bounds."""
    return get_origin(hint) is Annotated and any(isinstance(extra, Bounds) for extra in get_args(hint)[1:])
