"""Malformed command lines of `g2g live`, to where sockets would be opened."""

from __future__ import annotations

import argparse
import random
from collections.abc import Coroutine
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

from front_door import WorkBegins, g2g
from malformed_case import Case
from malformed_flags import fill, places, text_for

from studies.cli import parser_of

AREA = "live"

_NEEDED = {"node": ["--allocator", "127.0.0.1:1"], "datacenter": ["--emulate"]}
_POSITIONAL = {"key": "new.key", "replay": "empty"}


def make(rng: random.Random, folder: Path) -> Case:
    """A command line that should be refused, or that would begin a run."""
    fill(folder)
    command = rng.choice([*_commands(), "nonsense"])
    words, spoilt = ["live", command], []
    options = [a for a in _commands()[command]._actions if a.option_strings] if command in _commands() else []
    if command in _POSITIONAL:
        words.append(_POSITIONAL[command] if rng.random() < 0.5 else text_for(rng, argparse.Action(["x"], "x")))
    if rng.random() < 0.9:
        words += _NEEDED.get(command, [])
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        option = rng.choice([a for a in options if a.option_strings[-1] != "--help"] or [None])
        if option is None:
            break
        spoilt.append(option.option_strings[-1])
        given = [spoilt[-1]]
        if option.nargs != 0:
            given += [text_for(rng, option) for _ in range(rng.choice((1, 1, 1, 1, 0, 2)))]
        words += ["=".join(given)] if len(given) == 2 and rng.random() < 0.5 else given
    shown = " ".join(word if len(word) < 40 else f"{word[:20]}... ({len(word)})" for word in words)
    return Case(AREA, repr(shown), lambda: _until_sockets(words), (), places(spoilt, words[2:]))


def _until_sockets(words: list[str]) -> int:
    """`g2g`, to where it would run an event loop or a cluster."""
    with (
        mock.patch("asyncio.run", _begin),
        mock.patch("studies.live.site_commands._run_on", side_effect=WorkBegins),
    ):
        return g2g(*words)


def _begin(run: Coroutine[Any, Any, Any]) -> None:
    run.close()
    raise WorkBegins


@lru_cache
def _commands() -> dict[str, argparse.ArgumentParser]:
    live = _children(parser_of("live"))["live"]
    return _children(live)


def _children(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    chosen: Any = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(chosen.choices)
