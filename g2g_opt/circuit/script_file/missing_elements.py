"""Changes of elements that a circuit does not have: OpenDSS passes over them without a word."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NEW = re.compile(r'new\s+"?([^\s"]+)"?', re.IGNORECASE)
_CHANGE = re.compile(r'(?:edit|enable|disable)\s+"?([^\s"*]+)"?(?:\s|$)', re.IGNORECASE)
# Made by every circuit.
_OWN = "vsource.source"


def changes_of_missing(commands: Sequence[str], places: Sequence[str]) -> list[str]:
    """Commands that edit, enable or disable what no command before them has made, with their places, in words."""
    made, found = {_OWN}, []
    for command, place in zip(commands, places, strict=True):
        if (new := _NEW.match(command)) is not None:
            made.add(new[1].lower())
        elif (change := _CHANGE.match(command)) is not None and "." in change[1] and change[1].lower() not in made:
            found.append(f"{place}: {command.split()[0]} {change[1]}; there is no such element, and nothing is changed")
    return found
