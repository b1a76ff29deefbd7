"""Names that moved: the old one works for one version, and warns where it is used."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any


def warn_moved(old: str, new: str, gone_in: str, stacklevel: int = 2) -> None:
    """Say once at every place of use that `old` is now `new`, and from which version on it is not there any more."""
    words = f"{old} is now {new}; the old name goes with g2g-opt {gone_in}"
    warnings.warn(words, DeprecationWarning, stacklevel=stacklevel + 1)


def module_moved(old: str, new: str, gone_in: str, function: Callable[..., Any] | None = None) -> None:
    """Called by the module `old` itself while it is imported: warns whoever imports it.

    A module that has the name of a public `function` of its package takes the function's place there once it is
    imported; then it can be called as that function.
    """
    # Frames of the import machinery are skipped: the warning shows the line that imports.
    warn_moved(old, new, gone_in, stacklevel=3)
    if function is not None:
        vars(sys.modules[old])["_function"] = function
        sys.modules[old].__class__ = _CallableModule


class _CallableModule(ModuleType):
    """A module that stands for the function of its own name."""

    _function: Callable[..., Any]

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._function(*arguments, **named)
