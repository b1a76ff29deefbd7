"""Draws addressed by step: the numbers of step k are the same whatever was drawn before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.randomness import keyed_generator

Floats = NDArray[np.float64]

# Steps drawn at once; part of what defines the numbers, so changing it changes every recorded noisy result.
_CHUNK_STEPS = 1024


class StepDraws:
    """Standard normals and uniforms for (site, model label, purpose), addressed by step."""

    def __init__(self, seed: int, scenario: str, site: str) -> None:
        self.key = (seed, scenario, site)
        self._chunks: dict[tuple[str, str, int], tuple[int, Floats]] = {}

    def normals(self, labels: Sequence[str], purpose: str, first: int, n_steps: int, width: int) -> Floats:
        """Standard normals of shape (n_steps, label, width) for the steps from `first` on."""
        out = np.empty((n_steps, len(labels), width))
        for column, label in enumerate(labels):
            out[:, column] = self._rows(label, purpose, first, n_steps, width)
        return out

    def pairs(self, label: str, purpose: str, first: int, n_steps: int, width: int) -> tuple[Floats, Floats]:
        """Uniforms on [0, 1) and standard normals, each of shape (n_steps, width)."""
        uniforms = self._rows(label, purpose + " component", first, n_steps, width, uniform=True)
        return uniforms, self._rows(label, purpose + " value", first, n_steps, width)

    def _rows(self, label: str, purpose: str, first: int, n_steps: int, width: int, uniform: bool = False) -> Floats:
        chunks = [
            self._chunk(label, purpose, number, width, uniform)
            for number in range(first // _CHUNK_STEPS, (first + n_steps - 1) // _CHUNK_STEPS + 1)
        ]
        if len(chunks) == 1:
            # Steps come one after the other: what lies before is not asked for again.
            self._chunks.pop((label, purpose, (first // _CHUNK_STEPS - 1) % 2), None)
        begin = first % _CHUNK_STEPS
        joined = chunks[0] if len(chunks) == 1 else np.concatenate(chunks)
        return joined[begin : begin + n_steps]

    def _chunk(self, label: str, purpose: str, number: int, width: int, uniform: bool) -> Floats:
        # Two chunks are kept per stream: a block may reach from one into the next.
        slot = (label, purpose, number % 2)
        held = self._chunks.get(slot)
        if held is None or held[0] != number:
            generator = keyed_generator(self.key[0], *self.key[1:], label, purpose, number)
            shape = (_CHUNK_STEPS, width)
            held = (number, generator.random(shape) if uniform else generator.standard_normal(shape))
            self._chunks[slot] = held
        return held[1]
