"""What the commands of a circuit state of its elements, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from g2g_opt.circuit.script_file.tokens import Parameter, ScriptError, parameters

# What makes the matrices of all lines, which is what a copy takes. A file's own Solve does, and is left out.
MAKES_MATRICES = "calcvoltagebases"
_CHOOSES = ("select", "set")
RATINGS = ("normamps", "emergamps")
# Hand ratings of their own on to a line, in place of what was stated of it.
_HAND_ON = ("linecode", "geometry", "spacing", "wires", "cncables", "tscables", "like")


def stated_ratings(commands: Sequence[str]) -> Mapping[str, frozenset[str]]:
    """Which of `RATINGS` the commands state of a line ("line.a") itself, behind its line code or wires."""
    found: dict[str, set[str]] = {}
    for name, given in described(commands):
        if name.startswith("line."):
            own = found.setdefault(name, set())
            for parameter in given:
                word = (parameter.name or "").lower()
                if word in _HAND_ON:
                    own.clear()
                elif word in RATINGS:
                    own.add(word)
    return {name: frozenset(own) for name, own in found.items() if own}


def described(commands: Sequence[str]) -> Iterator[tuple[str, list[Parameter]]]:
    """Elements (kind.name) that commands make or change, with the named properties of each; and what makes matrices.

    Commands are those of a `CircuitScript`, whose verbs and properties are in full. Others are passed over.
    """
    name = ""
    for command in commands:
        try:
            verb, *given = parameters(command)
        except (ScriptError, ValueError):
            continue
        word = verb.value.lower() if verb.name is None else ""
        if verb.name is not None:
            name, _, prop = verb.name.lower().rpartition(".")
            given = [Parameter(prop, verb.value), *given]
        elif word in ("new", "edit") and given:
            name, given = given[0].value.lower(), given[1:]
        elif word in _CHOOSES:
            name = ""
        if word == MAKES_MATRICES:
            yield word, []
        elif name and word in ("", "new", "edit", "~"):
            yield name, [parameter for parameter in given if parameter.name]
