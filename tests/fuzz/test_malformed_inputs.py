"""A sample of the corpus of malformed inputs: no traceback, no hang, and every refusal names file and place.

The corpus and the sample follow from one seed, which is in the name of every test; `G2G_FUZZ_SEED=8 pytest tests/fuzz`
draws another one. The whole corpus is run by `python tests/fuzz/nightly.py`.
"""

from __future__ import annotations

import os
import random

import pytest
from corpus import AREAS, CIRCUITS, LIVE, shares
from endings import FAULTS, run_case
from malformed_case import DEFAULT_SEED

SEED = int(os.environ.get("G2G_FUZZ_SEED", DEFAULT_SEED))
# Of so many inputs in the corpus, so many are tried here, a part in each test: workers share them.
_CORPUS = shares(2000) | {CIRCUITS: 300, LIVE: 200}
_SAMPLES = {
    "toml": 60,
    "flags": 60,
    "json": 60,
    "csv": 48,
    "networks": 40,
    "markets": 40,
    "stored": 48,
    CIRCUITS: 12,
    LIVE: 40,
}
_PARTS = 4


def _numbers(area: str) -> list[int]:
    return sorted(random.Random(f"sample/{area}/{SEED}").sample(range(_CORPUS[area]), _SAMPLES[area]))


@pytest.mark.parametrize("part", range(_PARTS))
@pytest.mark.parametrize("area", [pytest.param(area, id=f"{area}-seed-{SEED}") for area in _SAMPLES])
def test_a_malformed_input_is_refused_in_words_or_taken(area: str, part: int) -> None:
    faults = []
    for number in _numbers(area)[part::_PARTS]:
        case, end = run_case(area, AREAS[area], SEED, number)
        if end.kind in FAULTS:
            again = f"python tests/fuzz/nightly.py --area {area} --seed {SEED} --case {number}"
            faults.append(f"{again}\n  {case.words}\n  {end.kind} {end.where} {end.words}")
    assert not faults, "\n".join(faults)
