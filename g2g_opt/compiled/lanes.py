"""`Lanes`: sixteen scenarios side by side in vector registers, for compiled kernels.

A loop over scenarios that a compiler vectorises by itself keeps its running sums in memory and may treat the
last scenarios differently from the first ones. Here the vector is a value of its own: sums stay in registers, and
every lane goes through the very same instructions, so that a scenario's result does not depend on its lane, on its
neighbours or on how many there are. The code generator maps it to whatever the processor has.

Inside `@njit` functions: `load(array, place)`, `store(array, place, lanes)`, `spread(x)`, `spread_at(array, place)`,
`at(array, place)` = one whole number without index checks, `+ - * /`,
`fma(a, b, c)` = a b + c rounded once, `root(a)`, `lower(a, b)`, `higher(a, b)`, `magnitude(a)`,
`where_less(a, b, x, y)` = x where a < b else y, `any_less(a, b)`, `count_less(counts, place, a, b)` and
`mark_less(marks, place, a, b, mark)`.
Arrays are flat and contiguous float64;
those that begin where a cache line does (`aligned`) are read twice as fast.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, models, register_model
from numpy.typing import NDArray

# Scenarios at a time. Sixteen hide more of what every matrix entry costs besides its arithmetic than eight do.
WIDTH = 16

_CACHE_LINE_BYTES = 64

_VECTOR = ir.VectorType(ir.DoubleType(), WIDTH)
_COUNTS = ir.VectorType(ir.IntType(32), WIDTH)
_INDEX = ir.IntType(32)


def aligned(*shape: int) -> NDArray[np.float64]:
    """Zeros of this shape that begin at a cache line."""
    return _at_a_cache_line(shape, np.float64)


def aligned_counts(*shape: int) -> NDArray[np.int32]:
    """Whole zeros of this shape that begin at a cache line."""
    return _at_a_cache_line(shape, np.int32)


def _at_a_cache_line(shape: tuple[int, ...], dtype: Any) -> NDArray[Any]:
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + _CACHE_LINE_BYTES, dtype=np.uint8)
    first = -raw.ctypes.data % _CACHE_LINE_BYTES
    return raw[first : first + size].view(dtype).reshape(shape)


class LanesType(types.Type):
    """Numba's type of a `Lanes` value."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


lanes_type = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, _VECTOR)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, place: Any, of: Any = _VECTOR) -> Any:
    data = cgutils.create_struct_proxy(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), of.as_pointer())


def _splat(builder: Any, value: Any, of: Any = _VECTOR) -> Any:
    one = builder.insert_element(ir.Constant(of, ir.Undefined), value, ir.Constant(_INDEX, 0))
    mask = ir.Constant(ir.VectorType(_INDEX, WIDTH), [0] * WIDTH)
    return builder.shuffle_vector(one, ir.Constant(of, ir.Undefined), mask)


@intrinsic
def load(typing_context: Any, array: Any, place: Any) -> Any:
    """Neighbouring values of a flat array from `place` on, one a lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *arguments), align=8)

    return lanes_type(array, types.intp), generate


@intrinsic
def store(typing_context: Any, array: Any, place: Any, value: Any) -> Any:
    """Write the lanes into a flat array from `place` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *arguments[:2])
        builder.store(arguments[2], pointer, align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes_type), generate


@intrinsic
def spread(typing_context: Any, value: Any) -> Any:
    """The same number in every lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _splat(builder, arguments[0])

    return lanes_type(types.float64), generate


@intrinsic
def spread_at(typing_context: Any, array: Any, place: Any) -> Any:
    """The number at `place` of a flat array, in every lane; places are not checked and must not be negative."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0]).data
        return _splat(builder, builder.load(builder.gep(data, [arguments[1]])))

    return lanes_type(array, types.intp), generate


@intrinsic
def at(typing_context: Any, array: Any, place: Any) -> Any:
    """The value at `place` of a flat array of int64; places are not checked and must not be negative."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0]).data
        return builder.load(builder.gep(data, [arguments[1]]))

    return types.int64(array, types.intp), generate


def _library(name: str, n_arguments: int) -> Any:
    """A function of LLVM's own on vectors."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * n_arguments)
        function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}.v{WIDTH}f64")
        return builder.call(function, arguments)

    return lanes_type(*[lanes_type] * n_arguments), generate


@intrinsic
def fma(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, rounded once."""
    return _library("fma", 3)


@intrinsic
def root(typing_context: Any, a: Any) -> Any:
    """Square root."""
    return _library("sqrt", 1)


@intrinsic
def magnitude(typing_context: Any, a: Any) -> Any:
    """Absolute value."""
    return _library("fabs", 1)


def _compare(builder: Any, a: Any, b: Any) -> Any:
    return builder.fcmp_ordered("<", a, b)


@intrinsic
def where_less(typing_context: Any, a: Any, b: Any, x: Any, y: Any) -> Any:
    """Lane by lane: x where a < b, else y (also where either is NaN)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.select(_compare(builder, *arguments[:2]), *arguments[2:])

    return lanes_type(*[lanes_type] * 4), generate


@intrinsic
def any_less(typing_context: Any, a: Any, b: Any) -> Any:
    """True if a < b in any lane."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.bitcast(_compare(builder, *arguments), ir.IntType(WIDTH))
        return builder.icmp_unsigned("!=", bits, ir.Constant(ir.IntType(WIDTH), 0))

    return types.boolean(lanes_type, lanes_type), generate


@intrinsic
def count_less(typing_context: Any, counts: Any, place: Any, a: Any, b: Any) -> Any:
    """Add one to the int32 counts from `place` on in the lanes where a < b."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *arguments[:2], of=_COUNTS)
        ones = builder.zext(_compare(builder, *arguments[2:]), _COUNTS)
        builder.store(builder.add(builder.load(pointer, align=4), ones), pointer, align=4)
        return context.get_dummy_value()

    return types.void(counts, types.intp, lanes_type, lanes_type), generate


@intrinsic
def mark_less(typing_context: Any, marks: Any, place: Any, a: Any, b: Any, mark: Any) -> Any:
    """Put a whole number among the int32 marks from `place` on in the lanes where a < b."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *arguments[:2], of=_COUNTS)
        new = _splat(builder, builder.trunc(arguments[4], _COUNTS.element), of=_COUNTS)
        is_less = _compare(builder, *arguments[2:4])
        builder.store(builder.select(is_less, new, builder.load(pointer, align=4)), pointer, align=4)
        return context.get_dummy_value()

    return types.void(marks, types.intp, lanes_type, lanes_type, types.int64), generate


@intrinsic
def lower(typing_context: Any, a: Any, b: Any) -> Any:
    """The smaller of the two, lane by lane; b where either is NaN."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b = arguments
        return builder.select(_compare(builder, a, b), a, b)

    return lanes_type(*[lanes_type] * 2), generate


@intrinsic
def higher(typing_context: Any, a: Any, b: Any) -> Any:
    """The larger of the two, lane by lane; b where either is NaN."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b = arguments
        return builder.select(_compare(builder, b, a), a, b)

    return lanes_type(*[lanes_type] * 2), generate


def _operator(infix: Callable[[Any, Any], Any], instruction: str) -> None:
    @infer_global(infix)
    class _Both(AbstractTemplate):
        def generic(self, args: Any, kws: Any) -> Any:
            return signature(lanes_type, *args) if all(kind == lanes_type for kind in args) else None

    @lower_builtin(infix, lanes_type, lanes_type)
    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args)


for _infix, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operator(_infix, _instruction)
