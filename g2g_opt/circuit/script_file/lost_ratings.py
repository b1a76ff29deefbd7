"""Ratings that a circuit's commands state of a line, and that what they name behind them takes away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from g2g_opt.circuit.parts import Branch
from g2g_opt.circuit.script_file.described_elements import RATINGS, WIRED, described, hold_any
from g2g_opt.circuit.script_file.tokens import Parameter
from g2g_opt.errors import listed

_SHOWN = 8


def lost_rating_notes(commands: Sequence[str], branches: Sequence[Branch]) -> tuple[str, ...]:
    """A sentence on lines whose stated `normamps` stands ahead of a line code, a geometry or conductors.

    OpenDSS takes the rating of these, or its own 400 A, in its place. Lines where both are the same are left out.
    """
    lost = _lost_normal_ratings(commands) if hold_any(commands, RATINGS[:1]) else {}
    told = [
        f"{branch.kind}.{branch.name} ({lost[branch.name]} stated, {branch.opendss_rating_a:g} A there)"
        for branch in branches
        if branch.kind == "line" and branch.name in lost and not _same(lost[branch.name], branch.opendss_rating_a)
    ]
    if not told:
        return ()
    return (
        "lines that state normamps ahead of the linecode, geometry, spacing or conductors whose rating (400 A where "
        f"they state none) OpenDSS then puts in its place; state it behind them: {listed(told, _SHOWN)}",
    )


def _lost_normal_ratings(commands: Sequence[str]) -> Mapping[str, str]:
    """Stated normal ratings, as they were written, of lines (without the class) that have lost them."""
    stated: dict[str, str] = {}
    lost: dict[str, str] = {}
    for name, given in described(commands):
        kind, _, own = name.partition(".")
        if kind == "line":
            _follow(own, given, stated, lost)
    return lost


def _follow(line: str, given: Sequence[Parameter], stated: dict[str, str], lost: dict[str, str]) -> None:
    for parameter in given:
        word = parameter.word
        if word == RATINGS[0]:
            stated[line] = parameter.value
            lost.pop(line, None)
        elif word == "like":
            other = parameter.value.lower()
            for kept in (stated, lost):
                kept.pop(line, None)
                if other in kept:
                    kept[line] = kept[other]
        elif (word == "linecode" or word in WIRED) and line in stated:
            lost[line] = stated.pop(line)


def _same(stated: str, rating_a: float) -> bool:
    try:
        return abs(float(stated) - rating_a) < 1e-6
    except ValueError:
        return False
