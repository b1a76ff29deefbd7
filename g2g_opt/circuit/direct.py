"""The same circuit in OpenDSSDirect.py, for scripts that are written to its interface."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from g2g_opt.errors import InputError


def open_direct(commands: Iterable[str]) -> Any:
    """An `OpenDSSDirect` in a context of its own, with a circuit made by OpenDSS commands and solved once.

    Controls are off, as in our own runs, until the script turns them on. What a script changes, no study sees.
    Raises `InputError` if OpenDSSDirect.py is not installed, or with OpenDSS's own words if it refuses a command.
    """
    try:
        from opendssdirect import DSSException, dss
    except ImportError as error:
        raise InputError("OpenDSSDirect.py is not installed: pip install 'g2g-opt[direct]'") from error
    own = dss.NewContext()
    own.Basic.AllowChangeDir(False)
    for text in ("Clear", *commands, "Set ControlMode=Off", "Solve"):
        try:
            own.Text.Command(text)
        except DSSException as error:
            raise InputError(f"OpenDSS refused {text!r}: {error}") from error
    return own
