"""One malformed input: what is done with it, and what a refusal of it must name.

A case follows from (area, seed, number) and nothing else: `python tests/fuzz/nightly.py --area toml --seed 7 --case 12`
makes the same one again.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

DEFAULT_SEED = 14


@dataclass(frozen=True)
class Case:
    """A malformed input: `words` tell people what is wrong with it, `act` hands it to the product.

    A refusal must hold all of `names` (the file, if a file is the input) and match one of the patterns `places` (key,
    row, flag). Without `places` the whole file is wrong, and its name is place enough.
    """

    area: str
    words: str
    act: Callable[[], object]
    names: tuple[str, ...] = ()
    places: tuple[str, ...] = ()


# Makes a case out of draws, with its files in an empty folder.
Maker = Callable[[random.Random, Path], Case]


def draws_of(area: str, seed: int, number: int) -> random.Random:
    """The draws of one case: the same on every machine."""
    return random.Random(f"{area}/{seed}/{number}")
