"""Draws addressed by step: the numbers of step k are the same whatever was drawn before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from g2g_opt.randomness import keyed_generator

Floats = NDArray[np.float64]

# Steps of one generator; part of what defines the numbers, so changing it changes every recorded noisy result.
CHUNK_STEPS = 1024
# Purposes of draws, which are parts of their keys: noise of the servers, the mean latency of many replicas, and of few
# replicas each one's component of the mixture and its value.
SERVER_NOISE, LATENCY_MEAN = "server noise", "latency mean"
LATENCY = "latency"
COMPONENT, VALUE = " component", " value"


@dataclass
class _Chunk:
    """Numbers of the chunk `number` of a stream, drawn as far as somebody has asked: up to step `n_drawn` of it."""

    number: int
    generator: np.random.Generator
    values: Floats
    n_drawn: int = 0

    def up_to(self, n: int, uniform: bool) -> Floats:
        """The whole chunk, with numbers in its first `n` steps at least: the same, however many are drawn at once."""
        if n > self.n_drawn:
            new = self.values[self.n_drawn : n]
            self.generator.random(out=new) if uniform else self.generator.standard_normal(out=new)
            self.n_drawn = n
        return self.values


class StepDraws:
    """Standard normals and uniforms for (site, model label, purpose), addressed by step."""

    def __init__(self, seed: int, scenario: str, site: str) -> None:
        self.key = (seed, scenario, site)
        self._chunks: dict[tuple[str, str, int], _Chunk] = {}

    def normals(self, labels: Sequence[str], purpose: str, first: int, n_steps: int, width: int) -> Floats:
        """Standard normals of shape (n_steps, label, width) for the steps from `first` on."""
        out = np.empty((n_steps, len(labels), width))
        for column, label in enumerate(labels):
            out[:, column] = self._rows(label, purpose, first, n_steps, width)
        return out

    def pairs(self, label: str, purpose: str, first: int, n_steps: int, width: int) -> tuple[Floats, Floats]:
        """Uniforms on [0, 1) and standard normals, each of shape (n_steps, width)."""
        uniforms = self._rows(label, purpose + COMPONENT, first, n_steps, width, uniform=True)
        return uniforms, self._rows(label, purpose + VALUE, first, n_steps, width)

    def _rows(self, label: str, purpose: str, first: int, n_steps: int, width: int, uniform: bool = False) -> Floats:
        end = first + n_steps
        chunks = [
            self._chunk(label, purpose, number, width).up_to(min(end - number * CHUNK_STEPS, CHUNK_STEPS), uniform)
            for number in range(first // CHUNK_STEPS, (end - 1) // CHUNK_STEPS + 1)
        ]
        if len(chunks) == 1:
            # Steps come one after the other: what lies before is not asked for again.
            self._chunks.pop((label, purpose, (first // CHUNK_STEPS - 1) % 2), None)
        begin = first % CHUNK_STEPS
        joined = chunks[0] if len(chunks) == 1 else np.concatenate(chunks)
        return joined[begin : begin + n_steps]

    def _chunk(self, label: str, purpose: str, number: int, width: int) -> _Chunk:
        # Two chunks are kept per stream: a block may reach from one into the next.
        slot = (label, purpose, number % 2)
        held = self._chunks.get(slot)
        if held is None or held.number != number:
            generator = keyed_generator(self.key[0], *self.key[1:], label, purpose, number)
            held = self._chunks[slot] = _Chunk(number, generator, np.empty((CHUNK_STEPS, width)))
        return held
