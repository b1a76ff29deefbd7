"""Keyed randomness: a draw depends on (study seed, scenario, component) and on nothing else.

Because no generator is shared, a result is the same alone, in a batch, on any number of workers and after
a resume; two components never eat each other's numbers.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

Key = str | int


class _PhiloxKey(np.random.bit_generator.ISeedSequence):
    """Hands its 128 bits to Philox as they are.

    `Philox(key=...)` is the same stream, but asks the system for entropy that it does not use: ten times the time.
    """

    def __init__(self, words: np.ndarray) -> None:
        self._words = words

    def generate_state(self, n_words: int, dtype: object = np.uint32) -> np.ndarray:
        """The key, which is all that Philox asks for."""
        return self._words


def _plain(part: Key) -> Key:
    return str(part) if isinstance(part, str) else int(part)


def keyed_generator(seed: int, *key: Key) -> np.random.Generator:
    """A generator of its own for `(seed, *key)`; the same arguments always give the same stream.

    `key` names the scenario and the component, e.g. `keyed_generator(7, "summer", "site dc", "noise")`.
    Strings and integers are told apart ("1" and 1 give different streams).
    """
    words: Any = _PhiloxKey(np.frombuffer(key_bytes(seed, *key), dtype=np.uint64))
    return np.random.Generator(np.random.Philox(words))


def key_bytes(seed: int, *key: Key) -> bytes:
    """The two words (16 bytes) that are the key of Philox in `keyed_generator(seed, *key)`."""
    # Plain integers and strings only: numpy's own integers print differently from release to release.
    plain = (int(seed), *[part if type(part) is str else _plain(part) for part in key])
    return hashlib.sha256(repr(plain).encode()).digest()[:16]
