"""The engine's library, loaded so that its threads outlive changes of the environment. For `circuit` only.

The engine (Free Pascal) keeps the pointer to the process's environment that it finds when it is loaded, and reads
through it in every new thread. Once anything has set a variable, that array lies in memory that the C library frees
when another variable is added, e.g. by `os.environ[...] = ...` or an import: the next thread to make a context then
crashes the process. So the library gets an array of its own, which the C library copies but never frees.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from functools import partial
from typing import Any


def _pin_environment() -> None:
    """Put a copy of the environment's array, never freed, in place of the one that the C library may free."""
    address = ctypes.c_void_p.in_dll(ctypes.CDLL(None), "environ")
    if address.value is None:
        return
    variables = ctypes.cast(address, ctypes.POINTER(ctypes.c_void_p))
    n = 0
    while variables[n]:
        n += 1
    # The variables themselves stay where they are: the C library never frees one that it has once put there.
    pinned = (ctypes.c_void_p * (n + 1))(*[variables[k] for k in range(n)], None)
    _kept.append(pinned)
    address.value = ctypes.addressof(pinned)


_kept: list[ctypes.Array[ctypes.c_void_p]] = []
if sys.platform == "linux":
    _pin_environment()

from dss_python_backend import ffi, lib  # noqa: E402  (after the environment is pinned)

__all__ = ["ffi", "lib", "new_context"]

# Contexts whose circuit is gone, by the thread that made them. Python may collect a circuit in any thread, but the
# engine has crashed when a context was freed in another one than its own: it waits for the next circuit made there.
_discarded: dict[int, list[Any]] = {}


def new_context() -> Any:
    """A context of its own, disposed in the thread that made it once nothing refers to it."""
    owner = threading.get_ident()
    waiting = _discarded.setdefault(owner, [])
    while waiting:
        lib.ctx_Dispose(waiting.pop())
    context = ffi.gc(lib.ctx_New(), partial(_free, owner))
    # What a trusted file shows would come up in an editor every time that the file is compiled.
    lib.ctx_DSS_Set_AllowEditor(context, False)
    return context


def _free(owner: int, context: Any) -> None:
    if threading.get_ident() == owner:
        lib.ctx_Dispose(context)
    else:
        _discarded[owner].append(context)
