"""Options of a command from the fields of a question, and the fields from what was given of them.

A field with a `Flag` in its annotation is an option. A field that holds a noun has the options of the noun's own
fields, as its `NounFlags` says; a noun that may be None comes about when one of them is given. Numbers take what their
quantity takes and refuse the rest with the range, words are those of a `Literal`, lists of words are given by repeating
the flag, lists of numbers behind it or separated by commas. What is not given is not in the namespace, so that a
question differs from its default only where someone said so.
"""

from __future__ import annotations

import argparse
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from functools import cache
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from g2g_opt.errors import InputError, QuantityError, did_you_mean, shown
from g2g_opt.flag import Flag
from g2g_opt.quantities import bounds_of, is_quantity
from studies.shared.number_flags import number
from studies.shared.question_model import NounFlags, ReadBy, not_here

# What stands for a value of a unit that is no single word.
_METAVARS = {"%": "PERCENT", "times the rating": "SHARE", "$ per kW and year": "$", "$ per kWh": "$", "$ per step": "$"}


@dataclass(frozen=True)
class FieldFlag:
    """An option that fills a field of the noun at `path` in a question (the question itself: no path).

    `names` are the fields that are given together, mostly one; `hint` is the annotation of it, or a tuple of several,
    without None, which is allowed if `optional`; `default` is what the question has there.
    """

    path: tuple[str, ...]
    names: tuple[str, ...]
    flag: Flag
    hint: Any
    optional: bool
    default: Any
    read_by: ReadBy | None = None

    @property
    def dest(self) -> str:
        """The name in the namespace, which no other option of a command has."""
        return "question." + ".".join((*self.path, self.names[0]))

    def add(self, parser: argparse._ActionsContainer, dest: str = "") -> None:
        """Add the option to a parser or a group."""
        about: dict[str, Any] = {"dest": dest or self.dest, "default": argparse.SUPPRESS, "help": self.help}
        if self.flag.const:
            about |= {"action": "append_const", "const": self.flag.const}
        elif self.hint is bool:
            about |= {"action": "store_const", "const": not self.default}
        else:
            about |= {"action": "append"} if self._is_repeated else {"nargs": "+"} if self._item is not None else {}
            if self.choices:
                about |= {"type": self._read_choice, "choices": self.choices}
            else:
                about |= {"metavar": self.metavar}
                if self.read_by is None and (read := self._number_reader()) is not None:
                    about |= {"type": read}
        parser.add_argument(self.flag.name, *self.flag.also, **about)

    @property
    def help(self) -> str:
        """What it is, its range with the unit, and what holds where it is not given."""
        flag, more = self.flag, []
        if not flag.const and self.hint is not bool:
            if self.read_by is None and (ranges := dict.fromkeys(_ranges(self.hint))):
                more.append(f"in {' or '.join(ranges)}")
            if self._is_repeated:
                more.append("repeat for several")
            more.append(f"default: {flag.unset}" if flag.unset else f"default {_written(self.default, flag)}")
        return "; ".join(part for part in (flag.help, ", ".join(more)) if part).replace("%", "%%")

    @property
    def metavar(self) -> str:
        """What stands for the value."""
        quantity = self.hint if is_quantity(self.hint) else self._item
        if self.flag.metavar or quantity is None:
            return self.flag.metavar or self.flag.name.strip("-").upper().replace("-", "_")
        kind, bounds = bounds_of(quantity)
        if bounds.percent or bounds.unit in _METAVARS:
            return "SHARE" if bounds.percent else _METAVARS[bounds.unit]
        return bounds.unit.upper() if bounds.unit.isalpha() else "N" if kind is int else "X"

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that the field takes, as they are written on a command line; none if it takes any."""
        return tuple(_hyphened(word) for word in (*self._words, *filter(None, [self.flag.empty])))

    def value(self, given: Any, question: Callable[[], Any]) -> Any:
        """The field's value, from what the parser has; `InputError` if a text cannot be read.

        `question` makes the question so far.
        """
        if self._is_repeated:
            if given == [self.flag.empty or "none"] and self.default:
                return ()
            if self.flag.empty and self.flag.empty in given:
                raise InputError(f"{self.flag.name} {self.flag.empty} stands alone, got {', '.join(given)}")
            return self.read_by.read(given, question()) if self.read_by is not None else tuple(map(self._word, given))
        if self._item is not None:
            return None if None in given else tuple(value for values in given for value in values)
        return self._word(given)

    # --- kinds of fields

    @property
    def _is_repeated(self) -> bool:
        """A list of words or texts."""
        return self.read_by is not None or (_is_list(self.hint) and self._item is None)

    @property
    def _item(self) -> Any:
        """The quantity in a list of numbers; None for anything else."""
        return get_args(self.hint)[0] if _is_list(self.hint) and is_quantity(get_args(self.hint)[0]) else None

    @property
    def _words(self) -> tuple[str, ...]:
        hint = get_args(self.hint)[0] if _is_list(self.hint) else self.hint
        return self.flag.choices or (get_args(hint) if get_origin(hint) is Literal else ())

    def _word(self, value: Any) -> Any:
        """A word as the field has it; several joined by a sign apart."""
        if not isinstance(value, str):
            return value
        if self.optional and value in self.flag.none:
            return None
        if self.flag.read is not None:
            try:
                return self.flag.read(value)
            except QuantityError as error:
                raise InputError(f"{self.flag.name} {shown(value)}: {error.place} {error.refusal}") from error
        if self._words:
            return next(word for word in self._words if _hyphened(word) == value)
        if _is_list(self.hint) and _is_list(get_args(self.hint)[0]):
            return tuple(part.strip() for part in value.split(self.flag.joined))
        return value

    def _read_choice(self, text: str) -> str:
        if (word := _hyphened(text)) not in self.choices:
            hint = did_you_mean(word, self.choices)
            choices = ", ".join(self.choices)
            raise argparse.ArgumentTypeError(f"invalid choice: {shown(text)} (choose from {choices}){hint}")
        return word

    def _number_reader(self) -> Callable[[str], Any] | None:
        """The `type=` of an option with numbers in it; None if there are none."""
        hint, flag, none = self.hint, self.flag, self.flag.none if self.optional else ()
        if not _ranges(hint):
            return None
        if self._item is not None:
            read = _listed(number(self._item))
        elif _is_list(hint):
            read, none = _parts(get_args(hint)[0], flag), ("none",)
            return lambda text: text if text in none else read(text)
        else:
            read = number(hint) if is_quantity(hint) else _parts(hint, flag)
        return _or_word(read, none) if none else read


def _or_word(read: Callable[[str], Any], words: Sequence[str]) -> Callable[[str], Any]:
    """Reads one of `words` as None, and says that there are such words where it can read nothing."""

    def word_or_read(text: str) -> Any:
        if text.lower() in words:
            return None
        try:
            return read(text)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"{error}; or write {' or '.join(words)}") from error

    return word_or_read


def _listed(read: Callable[[str], Any]) -> Callable[[str], Any]:
    def numbers(text: str) -> tuple[Any, ...]:
        values = tuple(read(part) for part in text.split(",") if part.strip())
        if not values:
            raise argparse.ArgumentTypeError(f"{text!r}: numbers separated by commas are needed")
        return values

    return numbers


def _parts(hint: Any, flag: Flag) -> Callable[[str], Any]:
    readers = [number(part) if is_quantity(part) else str for part in get_args(hint)]

    def parts(text: str) -> tuple[Any, ...]:
        given = text.split(flag.joined)
        if len(given) != len(readers):
            words = f"takes {len(readers)} parts separated by {flag.joined!r} ({flag.metavar}), got {len(given)}"
            raise argparse.ArgumentTypeError(words)
        return tuple(read(part.strip()) for read, part in zip(readers, given, strict=True))

    return parts


def _hyphened(word: str) -> str:
    """A word of several as one, so that no shell divides it."""
    return word.replace(" ", "-")


def _written(value: Any, flag: Flag) -> str:
    """A default as it would be written."""
    if isinstance(value, tuple):
        sign = " " if value and isinstance(value[0], tuple) else ","
        return sign.join(_written(part, flag) for part in value)
    return flag.none[0] if value is None else f"{value:g}" if isinstance(value, float) else _hyphened(str(value))


# --- annotations


def flags_of(
    kind: type, default: Any, path: tuple[str, ...] = (), part: NounFlags | None = None
) -> Iterator[FieldFlag]:
    """Every option of a question or noun, in the order of its fields; `default` is an instance, or None."""
    part, hints = part or NounFlags(), _hints(kind)
    together: dict[str, list[str]] = {}
    for name, hint in hints.items():
        for flag in _notes(hint, Flag):
            together.setdefault(flag.name, []).append(name)
    defaults = {f.name: getattr(default, f.name, None if f.default is MISSING else f.default) for f in fields(kind)}
    for name in (name for name in defaults if name not in part.without):
        notes, hint, optional = _unwrapped(hints[name])
        own = [part.instead[name]] if name in part.instead else _notes(hints[name], Flag)
        if not own and is_dataclass(hint) and isinstance(hint, type):
            inner = next(iter(_notes(hints[name], NounFlags)), NounFlags())
            yield from flags_of(hint, defaults[name], (*path, name), inner)
        for flag in own:
            names = tuple(together.get(flag.name, [name]))
            value = defaults[name]
            if len(names) > 1:
                hint = tuple[tuple(_unwrapped(hints[one])[1] for one in names)]  # type: ignore[misc]
                value = tuple(defaults[one] for one in names)
            if names[0] == name:
                grouped = flag if flag.group else replace(flag, group=part.group)
                read_by = next((note for note in notes if isinstance(note, ReadBy)), None)
                yield FieldFlag(path, names, grouped, hint, optional, value, read_by)


@cache
def _hints(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _notes(hint: Any, kind: type) -> list[Any]:
    return [note for note in _unwrapped(hint)[0] if isinstance(note, kind)]


def _unwrapped(hint: Any) -> tuple[list[Any], Any, bool]:
    """Notes of an annotation, the type that is left (a quantity stays one), and whether None is allowed."""
    notes: list[Any] = []
    optional = False
    while True:
        if get_origin(hint) is Annotated:
            notes += get_args(hint)[1:]
            if is_quantity(hint):
                return notes, hint, optional
            hint = get_args(hint)[0]
        elif get_origin(hint) in (Union, types.UnionType):
            hint, optional = next(arg for arg in get_args(hint) if arg is not type(None)), True
        else:
            return notes, hint, optional


def _is_list(hint: Any) -> bool:
    return get_origin(hint) is tuple and get_args(hint)[-1] is Ellipsis


def _ranges(hint: Any) -> list[str]:
    """Every range in an annotation, with its unit."""
    if is_quantity(hint):
        return [str(bounds_of(hint)[1])]
    return [found for arg in get_args(hint) for found in _ranges(arg)]


# --- parsers


class _Refusal(argparse.Action):
    """An option that ends in the reason why there is none."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        parser.error(f"{option}: {self.const}")


def add_question_flags(parser: argparse.ArgumentParser, kind: type, positional: str = "") -> None:
    """Add the options of a question to a parser, in groups; the field `positional` may be given without its flag."""
    groups: dict[str, argparse._ActionsContainer] = {"": parser}
    for one in flags_of(kind, kind()):
        title = one.flag.group
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        one.add(groups[title])
    for refused in not_here(kind).values():
        parser.add_argument(
            refused.flag,
            action=_Refusal,
            const=refused.reason,
            dest=argparse.SUPPRESS,
            metavar="...",
            help=f"not in this study: {refused.reason}",
        )
    if positional:
        words = f"the same as --{positional}"
        parser.add_argument(
            f"question.{positional}", nargs="?", default=argparse.SUPPRESS, metavar=positional.upper(), help=words
        )


def add_noun_flags(parser: argparse.ArgumentParser, noun: Any, names: Sequence[str]) -> None:
    """Add the options of some fields of a noun, whose own figures are the defaults, under the fields' names."""
    for one in flags_of(type(noun), noun):
        if one.names[0] in names:
            one.add(parser, one.names[0])
            # To a list more is added where a flag is repeated.
            default = list(one.default) if isinstance(one.default, tuple) else one.default
            parser.set_defaults(**{one.names[0]: default})


def given_fields(kind: type, options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a question that were given, nouns in it whole; `InputError` for what cannot be read."""
    default, found = kind(), vars(options)
    given: dict[tuple[str, ...], dict[str, Any]] = {}
    # Texts that are read in the light of other fields come last.
    flags = (one for one in flags_of(kind, default) if one.dest in found)
    for one in sorted(flags, key=lambda one: one.read_by is not None):
        value = one.value(found[one.dest], lambda: kind(**_with_nouns(default, given)))
        of_noun = given.setdefault(one.path, {})
        of_noun.update(zip(one.names, value, strict=True) if len(one.names) > 1 else {one.names[0]: value})
        for name, implied in one.flag.implies:
            of_noun.setdefault(name, implied)
    return _with_nouns(default, given)


def _with_nouns(default: Any, given: Mapping[tuple[str, ...], Mapping[str, Any]]) -> dict[str, Any]:
    made, of_question = dict(given.get((), {})), cast(type, type(default))
    for path, values in given.items():
        if not path:
            continue
        (name,) = path  # nouns in a question hold no further ones
        before, kind = getattr(default, name), _unwrapped(_hints(of_question)[name])[1]
        made[name] = replace(before, **values) if before is not None else _new_noun(kind, values)
    return made


def _new_noun(kind: type, values: Mapping[str, Any]) -> Any:
    needed = {field.name for field in fields(kind) if field.default is MISSING}
    if lacking := needed - set(values):
        of_noun = {name: one.flag.name for one in flags_of(kind, None) for name in one.names}
        said, words = (" and ".join(dict.fromkeys(of_noun[n] for n in sorted(names))) for names in (values, lacking))
        raise InputError(f"{said} changes nothing without {words}: give that as well")
    return kind(**values)
