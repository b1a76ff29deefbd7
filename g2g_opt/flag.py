"""`Flag`: what a field is called and means to people, as plain data in its annotation.

`voltage_min_pu: Annotated[LimitVoltagePu, Flag("--voltage-min-pu", "lowest voltage")]`: commands make their options
from it, JSON schemas their descriptions. Range, unit and default are the field's own and not repeated here. Where the
number has a unit, the name ends in it. Nothing of a command line is imported, so that nouns can carry it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


@dataclass(frozen=True)
class Flag:
    """The option that fills a field.

    `unset` says in words what holds where nothing is given, for defaults that do not speak for themselves; `metavar`
    stands for the value, if unit and type do not say enough; `also` are older names. `none` are the words for None.
    Parts of an inner list are written with `joined` between them. `choices` are those of the field's that make sense
    (all if left out); `empty` is the word for none of them, where a list may be empty. A flag with a `const` takes no
    value and stands for that text. Whoever gives the flag means `implies` as well: (field, value) of the same class.
    Fields of one class with the same flag are given together, separated by commas. `read` makes the value of a field
    that is a noun, or every item of a list of them, from a text.
    """

    name: str
    help: str
    metavar: str = ""
    group: str = ""
    unset: str = ""
    also: tuple[str, ...] = ()
    none: tuple[str, ...] = ("none",)
    joined: str = ","
    choices: tuple[str, ...] = ()
    empty: str = ""
    const: str = ""
    implies: tuple[tuple[str, str], ...] = ()
    read: Callable[[str], Any] | None = None

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The help is the description, ahead of the unit."""
        found = handler(schema)
        if self.const:
            return found
        more = found.get("description")
        return found | {"description": f"{self.help}; {more}" if more else self.help}
