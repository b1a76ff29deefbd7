"""Firm operation and a perfect link: what is flexible as links are judged, and what of it all limits leave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from g2g_opt.feeder import Feeder
from studies.communication.question import CommunicationQuestion
from studies.communication.survivors import Survivor
from studies.shared.conclusion import Column, ResultTable
from studies.shared.paired import bootstrap_draws, interval_row, with_interval
from studies.shared.task import Row

_BOUNDS = (
    Column("bus", "bus"),
    Column("limits", "limits"),
    *with_interval(Column("firm_mw", "firm, fleet MW", 2)),
    *with_interval(Column("mw", "with a controller, fleet MW", 2)),
    *with_interval(Column("flexible_mw", "flexible MW", 2)),
    Column("firm_limit", "what stops larger firm sites"),
    Column("limit", "what stops larger sites with a controller"),
)


def bounds_table(
    question: CommunicationQuestion, judged: dict[str, Survivor], under_all: dict[str, Survivor]
) -> ResultTable:
    """The two at every bus, by the limits of links and by all; survivors are those of perfect links."""
    by_limits = [(limits_in_words(question), judged), *([("all", under_all)] if question.left_out else [])]
    rows = [_row(question, bus, words, found[bus]) for bus in judged for words, found in by_limits if bus in found]
    return ResultTable("bounds", "Firm, and with a controller on a perfect link", _BOUNDS, rows)


def _row(question: CommunicationQuestion, bus: str, words: str, one: Survivor) -> Row:
    draws = bootstrap_draws(len(one.mw), question.seed)
    found: Row = {"bus": bus, "limits": words, "firm_limit": one.firm_limit, "limit": one.limit}
    for name, values in (("firm_mw", one.firm_mw), ("mw", one.mw), ("flexible_mw", one.mw - one.firm_mw)):
        found |= interval_row(name, values, draws)
    return found


def limits_in_words(question: CommunicationQuestion) -> str:
    """By which limits links are judged."""
    return f"without {_joined(question.left_out)}" if question.left_out else "all"


def bounds_words(
    question: CommunicationQuestion, feeder: Feeder, bus: str, perfect: Survivor, under_all: Survivor | None
) -> Iterator[str]:
    """The first sentence: what is flexible, and what of it all limits leave; and what stops larger sites then."""
    firm, flexible = float(perfect.firm_mw.mean()), perfect.flexible_mw
    first = (
        f"Bus {bus} of {feeder.name} hosts a fleet of {firm:.2f} MW firm and one of {firm + flexible:.2f} MW with a "
        f"controller on a perfect link: {flexible:.2f} MW are flexible"
    )
    if not question.left_out:
        yield f"{first}."
        return
    first += f" if {_joined(question.left_out)} are not judged"
    if under_all is None:
        yield f"{first}, and under all limits no answer was found in every draw."
        return
    firm, flexible = float(under_all.firm_mw.mean()), under_all.flexible_mw
    yield (
        f"{first}, and under all limits {firm:.2f} MW firm and {firm + flexible:.2f} MW with a controller, "
        f"{flexible:.2f} MW flexible."
    )
    yield f"What stops larger sites then is {under_all.limit}."


def _joined(words: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)
