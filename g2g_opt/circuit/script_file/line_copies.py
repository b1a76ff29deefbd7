"""Copies of lines behind a solution of the file's own: what OpenDSS copies there, told in another way.

`like` copies a line's matrix, which a solution makes of what the line states. A study leaves a file's solutions out, so
that the copy would have the impedance of a line that states nothing; where it states one of the other's figures again,
OpenDSS makes its matrix of all that it took.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from g2g_opt.circuit.script_file.described_elements import described_at
from g2g_opt.circuit.script_file.tokens import Parameter

# What makes a line's matrix by its sequence impedances, what makes it otherwise, and what is a figure of its own.
IMPEDANCE = ("r1", "x1", "r0", "x0", "c1", "c0", "b1", "b0")
MADE_ANEW = ("linecode", "geometry", "spacing", "wires", "switch")
MATRIX = ("rmatrix", "xmatrix")


def with_copied_impedances(commands: Sequence[str], solved: Collection[int]) -> list[str]:
    """The commands, those in the places `solved` standing for a solution of the file's own, with an impedance of the
    other at every line that is a copy of one from before such a solution.
    """
    found = list(commands)
    if not solved or not any("like" in command.lower() for command in commands):
        return found
    stated: dict[str, dict[str, Parameter]] = {}
    with_matrix: set[str] = set()
    solutions = sorted(solved)
    for k, name, given in described_at(commands):
        while solutions and solutions[0] < k:
            with_matrix = {line for line, own in stated.items() if not own.keys() & {*MADE_ANEW, *MATRIX}}
            del solutions[0]
        if not name.startswith("line."):
            continue
        own = stated.setdefault(name, {})
        for parameter in given:
            word, other = parameter.word, f"line.{parameter.value.lower()}"
            if word == "like":
                own.clear()
                own.update(stated.get(other, {}))
                figures = [own[one] for one in IMPEDANCE if one in own]
                # What a variable stands for may have changed since.
                if other in with_matrix and figures and "@" not in figures[0].value:
                    found[k] += f" {figures[0]}"
                    with_matrix.add(name)
            elif word in (*IMPEDANCE, *MADE_ANEW, *MATRIX):
                own[word] = parameter
                with_matrix.discard(name)
    return found
