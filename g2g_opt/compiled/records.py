"""`View` and `Record`: arrays and tables of arrays as compiled kernels see them, light enough to hand around.

An array that numba knows brings a reference count, strides and a parent along; a named tuple of thirty of them is two
hundred values in every call, and most of what compiling a kernel costs. A view is an address and its lengths, a record
the address of a list of views. Python packs a named tuple (`pack`) into a flat array of whole numbers, a kernel takes
that array, and `reader(Fields)` turns it into a record whose fields read as the arrays do:

    class Fields(NamedTuple):
        node: Ints1
        voltage_pu: Floats2
        ports: Ports            # a record within the record
        first: int

    read = reader(Fields)

    @kernel
    def total(packed):
        t = read(packed)
        sum = 0.0
        for i in range(len(t.node)):
            sum += t.voltage_pu[t.node[i], t.first]

Inside kernels: `view[i, j]` (with fewer indices than dimensions: the view of a row), assignment of numbers, `len`,
`view.shape`, `part(view, begin)` = the rest of a flat view. Places are not checked and must not be negative. What is
packed stays alive with its `Packed`, and must be the same arrays as long as that is used.
"""

from __future__ import annotations

import operator
from functools import cache
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import (
    AbstractTemplate,
    AttributeTemplate,
    infer_getattr,
    infer_global,
    signature,
)
from numba.extending import intrinsic, lower_getattr_generic, models, register_model
from numpy.typing import NDArray

_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]
_Bools = NDArray[np.bool_]
Floats1 = Annotated[_Floats, np.float64, 1]
Floats2 = Annotated[_Floats, np.float64, 2]
Floats3 = Annotated[_Floats, np.float64, 3]
Floats4 = Annotated[_Floats, np.float64, 4]
Ints1 = Annotated[_Ints, np.int64, 1]
Ints2 = Annotated[_Ints, np.int64, 2]
Ints3 = Annotated[_Ints, np.int64, 3]
Counts1 = Annotated[NDArray[np.int32], np.int32, 1]
Counts2 = Annotated[NDArray[np.int32], np.int32, 2]
Counts3 = Annotated[NDArray[np.int32], np.int32, 3]
Counts4 = Annotated[NDArray[np.int32], np.int32, 4]
Bools1 = Annotated[_Bools, np.bool_, 1]
Bools2 = Annotated[_Bools, np.bool_, 2]
Complexes1 = Annotated[NDArray[np.complex128], np.complex128, 1]
Complexes2 = Annotated[NDArray[np.complex128], np.complex128, 2]

_NUMBA_TYPES = {
    np.float64: types.float64,
    np.int64: types.int64,
    np.int32: types.int32,
    np.bool_: types.boolean,
    np.complex128: types.complex128,
}


class ViewType(types.Type):
    """Numba's type of a contiguous array without an owner."""

    def __init__(self, dtype: Any, ndim: int) -> None:
        self.dtype, self.ndim = dtype, ndim
        super().__init__(name=f"View({dtype}, {ndim})")


class RecordType(types.Type):
    """Numba's type of a packed named tuple; `fields` are (type, place of its first word) by name."""

    def __init__(self, cls: type[Any]) -> None:
        self.fields: dict[str, tuple[Any, int]] = {}
        place = 0
        for name, hint in _hints(cls).items():
            kind = _kind(cls, name, hint)
            self.fields[name] = kind, place
            place += 1 + kind.ndim if isinstance(kind, ViewType) else 1
        self.n_words = place
        super().__init__(name=f"Record({cls.__module__}.{cls.__qualname__})")


@cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return {name: hints[name] for name in cls._fields}


def _kind(cls: type[Any], name: str, hint: Any) -> Any:
    if get_origin(hint) is Annotated:
        _, dtype, ndim = get_args(hint)
        return ViewType(_NUMBA_TYPES[dtype], ndim)
    if hint is int:
        return types.int64
    if hint is float:
        return types.float64
    if hasattr(hint, "_fields"):
        return RecordType(hint)
    raise TypeError(f"{cls.__name__}.{name} is none of the arrays of this module, nor a whole number, nor a record")


# --- from Python


class Packed(NamedTuple):
    """A named tuple as whole numbers (`words`, at an `address`) for kernels, and what must live as long as they are
    used.
    """

    words: NDArray[np.int64]
    kept: tuple[Any, ...]
    address: int


NOTHING_PACKED = Packed(np.zeros(0, dtype=np.int64), (), 0)


def pack(record: Any) -> Packed:
    """Addresses and lengths of a named tuple's arrays, and of the records within it.

    Raises `TypeError` for an array of another kind than its field says, or one that is not contiguous.
    """
    cls = type(record)
    words: list[int] = []
    kept: list[Any] = [record]
    for (name, hint, array), value in zip(_packing(cls), record, strict=True):
        if array is not None:
            dtype, ndim = array
            fits = isinstance(value, np.ndarray) and value.dtype == dtype and value.ndim == ndim
            if not (fits and value.flags.c_contiguous):
                of = f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
                raise TypeError(f"{cls.__name__}.{name} is a contiguous {dtype} of {ndim} dimensions, not {of}")
            words.append(_address(value))
            words += value.shape
        elif hint is float:
            words.append(int(np.float64(value).view(np.int64)))
        elif hint is int:
            words.append(int(value))
        else:
            inner = pack(value)
            kept.append(inner)
            words.append(inner.address)
    packed = np.array(words, dtype=np.int64)
    return Packed(packed, tuple(kept), _address(packed))


@cache
def _packing(cls: type[Any]) -> tuple[tuple[str, Any, tuple[np.dtype[Any], int] | None], ...]:
    """Name and hint of every field, and of an array its type and dimensions."""
    found = []
    for name, hint in _hints(cls).items():
        dtype, ndim = get_args(hint)[1:] if get_origin(hint) is Annotated else (None, 0)
        found.append((name, hint, None if dtype is None else (np.dtype(dtype), int(ndim))))
    return tuple(found)


def _address(array: NDArray[Any]) -> int:
    """Where an array begins in memory."""
    return int(array.__array_interface__["data"][0])


def pack_again(packed: Packed, record: Any) -> Packed:
    """Another record of the same kind at the address of one that was packed before, if anything was."""
    fresh = pack(record)
    if packed is NOTHING_PACKED:
        return fresh
    packed.words[:] = fresh.words
    return Packed(packed.words, fresh.kept, packed.address)


# --- in kernels


@register_model(ViewType)
class _ViewModel(models.StructModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        lengths = [(f"n{k}", types.intp) for k in range(fe_type.ndim)]
        super().__init__(manager, fe_type, [("data", types.CPointer(fe_type.dtype)), *lengths])


@register_model(RecordType)
class _RecordModel(models.PrimitiveModel):
    def __init__(self, manager: Any, fe_type: Any) -> None:
        super().__init__(manager, fe_type, ir.IntType(64).as_pointer())


def reader(cls: type[Any]) -> Any:
    """What turns the words of a packed `cls`, or their address, into its record, inside kernels."""
    record = RecordType(cls)

    @intrinsic
    def read(typing_context: Any, words: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            if isinstance(words, types.Integer):
                return builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
            return cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0]).data

        return record(words), generate

    return read


@infer_getattr
class _RecordAttribute(AttributeTemplate):
    key = RecordType

    def generic_resolve(self, record: Any, name: str) -> Any:
        return record.fields[name][0] if name in record.fields else None


@lower_getattr_generic(RecordType)
def _record_field(context: Any, builder: Any, record: Any, pointer: Any, name: str) -> Any:
    kind, place = record.fields[name]

    def word(k: int) -> Any:
        found = builder.load(builder.gep(pointer, [ir.Constant(ir.IntType(64), place + k)]))
        # Nobody writes words while a kernel runs, so a loop reads them once.
        found.set_metadata("invariant.load", builder.module.add_metadata([]))
        return found

    if isinstance(kind, ViewType):
        view = cgutils.create_struct_proxy(kind)(context, builder)
        view.data = builder.inttoptr(word(0), view.data.type)
        for k in range(kind.ndim):
            setattr(view, f"n{k}", word(1 + k))
        return view._getvalue()
    if isinstance(kind, RecordType):
        return builder.inttoptr(word(0), ir.IntType(64).as_pointer())
    return builder.bitcast(word(0), ir.DoubleType()) if kind == types.float64 else word(0)


@infer_getattr
class _ViewAttribute(AttributeTemplate):
    key = ViewType

    def resolve_shape(self, view: Any) -> Any:
        return types.UniTuple(types.intp, view.ndim)


@lower_getattr_generic(ViewType)
def _view_shape(context: Any, builder: Any, view: Any, value: Any, name: str) -> Any:
    held = cgutils.create_struct_proxy(view)(context, builder, value)
    return cgutils.pack_array(builder, [getattr(held, f"n{k}") for k in range(view.ndim)])


@infer_global(len)
class _Length(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(types.intp, args[0]) if isinstance(args[0], ViewType) else None


@lower_builtin(len, ViewType)
def _length(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return cgutils.create_struct_proxy(sig.args[0])(context, builder, args[0]).n0


def _index(view: Any, index: Any) -> Any:
    """The type that an index is cast to, and whether it says one place; None where it is no index."""
    if isinstance(index, types.Integer):
        return types.intp, view.ndim == 1
    if isinstance(index, types.BaseTuple) and len(index) <= view.ndim:
        return types.UniTuple(types.intp, len(index)), len(index) == view.ndim
    return None


@infer_global(operator.getitem)
class _GetItem(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        view, index = args
        found = _index(view, index) if isinstance(view, ViewType) else None
        if found is None:
            return None
        kind, is_place = found
        spent = len(kind) if isinstance(kind, types.BaseTuple) else 1
        return signature(view.dtype if is_place else ViewType(view.dtype, view.ndim - spent), view, kind)


@infer_global(operator.setitem)
class _SetItem(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        view, index, _ = args
        found = _index(view, index) if isinstance(view, ViewType) else None
        return signature(types.none, view, found[0], view.dtype) if found is not None and found[1] else None


def _pointer(context: Any, builder: Any, sig: Any, args: Any) -> tuple[Any, Any, int]:
    """Address of what an index says, the view, and how many of its dimensions the index spent."""
    kind, index = sig.args[0], args[1]
    view = cgutils.create_struct_proxy(kind)(context, builder, args[0])
    places = cgutils.unpack_tuple(builder, index) if isinstance(sig.args[1], types.BaseTuple) else [index]
    place = places[0]
    for k in range(1, kind.ndim):
        place = builder.mul(place, getattr(view, f"n{k}"))
        if k < len(places):
            place = builder.add(place, places[k])
    return builder.gep(view.data, [place]), view, len(places)


def _get(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    pointer, view, spent = _pointer(context, builder, sig, args)
    if not isinstance(sig.return_type, ViewType):
        return context.unpack_value(builder, sig.return_type, pointer)
    row = cgutils.create_struct_proxy(sig.return_type)(context, builder)
    row.data = pointer
    for k in range(sig.return_type.ndim):
        setattr(row, f"n{k}", getattr(view, f"n{k + spent}"))
    return row._getvalue()


def _set(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    context.pack_value(builder, sig.args[2], args[2], _pointer(context, builder, sig, args)[0])
    return context.get_dummy_value()


for _places in (types.intp, types.BaseTuple):
    lower_builtin(operator.getitem, ViewType, _places)(_get)
    lower_builtin(operator.setitem, ViewType, _places, types.Any)(_set)


@intrinsic
def part(typing_context: Any, view: Any, begin: Any) -> Any:
    """The values of a flat view from `begin` on."""

    def generate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        held = cgutils.create_struct_proxy(sig.args[0])(context, builder, args[0])
        rest = cgutils.create_struct_proxy(sig.args[0])(context, builder)
        rest.data, rest.n0 = builder.gep(held.data, [args[1]]), builder.sub(held.n0, args[1])
        return rest._getvalue()

    return ViewType(view.dtype, 1)(view, types.intp), generate
