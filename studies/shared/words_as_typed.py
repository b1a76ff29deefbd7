"""What is wrong, in the words of who typed a command: flags in the place of fields and classes.

Nouns and questions name their fields, which is what Python code and study files say. Where the command line is what was
typed, the same message names its flags.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from g2g_opt.errors import InputError, QuantityError
from studies.shared.question_flags import flags_of

# A field in a message: of several words (one word may be any other), perhaps behind the noun it is in, perhaps with a
# value; no part of a path or of a quoted text.
_FIELD = re.compile(r"(?<![\w/.\-'\"])(?:[a-z_]+\.)?([a-z][a-z0-9]*(?:_[a-z0-9]+)+)(?![\w/'\"])( ?= ?(?=[^\s=]))?")


def as_typed(error: InputError, kind: type) -> InputError:
    """The same fault for who typed the options of a question of this `kind`."""
    flags = _flag_of_field(kind)
    if isinstance(error, QuantityError):
        field, place = re.fullmatch(r"(\w+)(.*)", error.place, re.DOTALL).groups()  # type: ignore[union-attr]
        if field in flags:
            return InputError(f"{flags[field]}{place} {error.refusal}")

    def typed(found: re.Match[str]) -> str:
        flag = flags.get(found[1])
        return found[0] if flag is None else flag + (" " if found[2] else "")

    return InputError(_FIELD.sub(typed, str(error)))


def _flag_of_field(kind: type) -> Mapping[str, str]:
    """Flags by field, where all fields of that name have the same one."""
    found: dict[str, set[str]] = {}
    for one in flags_of(kind, kind()):
        for name in one.names:
            found.setdefault(name, set()).add(one.flag.name)
    return {name: flags.pop() for name, flags in found.items() if len(flags) == 1}
