"""The errors of the package; every message says what to change."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from g2g_opt.failure import Failure

# Letters of a value that a message shows.
_SHOWN_MAX = 60


class G2GError(Exception):
    """Base class of every error raised on purpose by `g2g_opt`."""


class InputError(G2GError, ValueError):
    """An input cannot be used; the message names it and how to mend it. Raised before anything runs."""


class QuantityError(InputError):
    """A field of a noun lies outside its range: `noun` ("ChannelSpec"), `place` of the field in it ("loss", "ramps[0]")
    and the `refusal`, which says the range.
    """

    def __init__(self, noun: str, place: str, refusal: str) -> None:
        super().__init__(f"{noun}.{place} {refusal}")
        self.place, self.refusal = place, refusal


class PowerFlowError(G2GError, RuntimeError):
    """A power flow has no usable answer: it did not converge, or a load was not served (equation 5.2).

    `failure` says which and where; the message is its words.
    """

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


def shown(value: object) -> str:
    """`value` as an error message shows it: quoted, control characters as escapes, cut where it is long."""
    # A number of many digits cannot even be made a text.
    text = repr(value) if not isinstance(value, int) or abs(value) < 2**63 else "a number beyond 64 bits"
    return text if len(text) <= _SHOWN_MAX else f"{text[: _SHOWN_MAX - 20]}...{text[-10:]} ({len(text)} characters)"


def listed(names: Sequence[str], at_most: int) -> str:
    """The first names of a list, and how many there are if that is more."""
    return ", ".join(names[:at_most]) + (f", ... ({len(names)} in all)" if len(names) > at_most else "")


def number_of(n: int, noun: str, plural: str = "") -> str:
    """A number of things in words: "1 bus", "2 buses"; `plural` where it is no usual one, or of more than one word."""
    return f"{n:,} {noun if n == 1 else plural or plural_of(noun)}"


def plural_of(noun: str) -> str:
    """The plural of a noun that has a usual one: buses, entries, lines, switches."""
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The nearest of the known names as the end of a sentence, "; did you mean bus, buses?"; empty if none is near."""
    # Whatever the case, and with or without what stands before a slash ("meta-llama/Llama-3.1-8B").
    names = sorted(known, reverse=True)
    written = {form.casefold(): known for known in names for form in (known, known.rpartition("/")[2])}
    # Likeness to a text of a million letters takes minutes, and means nothing.
    alike = difflib.get_close_matches(str(name)[:_SHOWN_MAX].casefold(), written, n=6, cutoff=0.6)
    near = list(dict.fromkeys(written[form] for form in alike))[:3]
    return f"; did you mean {', '.join(near)}?" if near else ""


def unknown_name(kind: str, name: object, known: Iterable[object], where: str = "") -> InputError:
    """An `InputError` for a name that does not exist, listing the nearest and all known names.

    `kind` is the noun ("feeder", "bus"), `where` an optional place ("in feeder ieee13").
    """
    names = sorted(str(k) for k in known)
    hint = did_you_mean(name, names)
    place = f" {where}" if where else ""
    return InputError(
        f"{kind} {shown(str(name))} not found{place}{hint}; known {plural_of(kind)}: [{listed(names, 60)}]"
    )
