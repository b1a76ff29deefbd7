"""Changes of elements that a circuit does not have: OpenDSS passes over them without a word."""

from __future__ import annotations

import re
from collections.abc import Sequence

from g2g_opt.circuit.script_file.described_elements import first_behind_clear
from g2g_opt.errors import did_you_mean

# A name as it is, or in quotes or brackets of any kind.
_NAME = r"""(?:["'(\[{]([^"')\]}]+)["')\]}]|([^\s"]+))(?:\s|$)"""
_NEW = re.compile(rf"new\s+{_NAME}", re.IGNORECASE)
_CHANGE = re.compile(rf"(?:edit|enable|disable)\s+{_NAME}", re.IGNORECASE)
# Made by every circuit.
_OWN = "vsource.source"


def changes_of_missing(commands: Sequence[str], places: Sequence[str]) -> list[str]:
    """Commands that edit, enable or disable what no command before them has made, with their places, in words."""
    made, found = {_OWN}, []
    begin = first_behind_clear(commands)
    for command, place in zip(commands[begin:], places[begin:], strict=True):
        if (new := _NEW.match(command)) is not None:
            made.add((new[1] or new[2]).lower())
        elif (change := _CHANGE.match(command)) is not None:
            name = change[1] or change[2]
            if "." in name and name.lower() not in made:
                every = f" (BatchEdit {name.replace('.*', '..*')} changes all)" if name.endswith(".*") else ""
                hint = every or did_you_mean(name, made)
                told = "there is no such element, and nothing is changed"
                found.append(f"{place}: {command.split()[0]} {name}; {told}{hint}")
    return found
