"""Keyed randomness: a draw depends on (study seed, scenario, component) and on nothing else.

Because no generator is shared, a result is the same alone, in a batch, on any number of workers and after
a resume; two components never eat each other's numbers.
"""

from __future__ import annotations

import hashlib

import numpy as np

Key = str | int


def keyed_generator(seed: int, *key: Key) -> np.random.Generator:
    """A generator of its own for `(seed, *key)`; the same arguments always give the same stream.

    `key` names the scenario and the component, e.g. `keyed_generator(7, "summer", "site dc", "noise")`.
    Strings and integers are told apart ("1" and 1 give different streams).
    """
    # Plain integers and strings only: numpy's own integers print differently from release to release.
    plain = (int(seed), *(str(part) if isinstance(part, str) else int(part) for part in key))
    digest = hashlib.sha256(repr(plain).encode()).digest()
    return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], dtype=np.uint64)))
