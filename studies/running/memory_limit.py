"""A limit of memory (`ulimit -v`): refused where nothing can work, and known again in what libraries say of it."""

from __future__ import annotations

import resource

from g2g_opt.errors import InputError

# Address space of all that a run and its report load, on two cores (B).
_LIBRARIES_B = 1_200_000_000


def check_memory_limit() -> None:
    """Raise `InputError` if this process may not have the memory that the libraries of a run take.

    OpenBLAS, refused memory while it is loaded, asks for it again for ever, and nothing can interrupt it.
    """
    limit_b = _limit_b()
    if limit_b is not None and limit_b < _LIBRARIES_B:
        raise InputError(
            f"memory is limited to {limit_b / 1e6:.0f} MB here (ulimit -v), and a run needs {_LIBRARIES_B / 1e6:.0f} "
            "MB for its libraries alone; raise the limit"
        )


def lack_of_memory(error: BaseException) -> str | None:
    """In words that memory is what `error` is about; None if it is not. A library refused memory says many things."""
    limit_b = _limit_b()
    if limit_b is None and not isinstance(error, MemoryError):
        return None
    known = "" if limit_b is None else f", which is limited to {limit_b / 1e6:.0f} MB (ulimit -v)"
    return f"there is not enough memory{known}: {str(error) or type(error).__name__}"


def _limit_b() -> int | None:
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit
