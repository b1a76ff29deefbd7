"""Philox, uniforms and standard normals in kernels, the same numbers to the last bit as numpy's `Generator` draws.

A stream is a key of two words (`randomness.key_bytes`). Its words are addressed by their place, so that a kernel goes
on anywhere in a stream, and keeps nothing but how many words were used.

Sources: J. K. Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (SC 2011), Philox4x64-10; G. Marsaglia and
W. W. Tsang, The ziggurat method for generating random variables (2000), with numpy's 256 layers.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.random._constants import fi_double, ki_double, wi_double, ziggurat_nor_inv_r, ziggurat_nor_r

from g2g_opt.compiled.kernel import inner
from g2g_opt.compiled.records import Floats1, Ints1

# Words that are made at a time.
WORDS = 128

_ROUNDS = 10
_MULTIPLIERS = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_WEYL = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_TAIL, _TAIL_INVERSE = float(ziggurat_nor_r), float(ziggurat_nor_inv_r)
_TO_UNIFORM = 1.0 / 2**53


class Ziggurat(NamedTuple):
    """Layers of the normal density, and once more for numbers below zero: a place below `inside` is within the next
    one, `width` is a place's. `height` (256,) is the density; `words` is room.
    """

    inside: Ints1
    width: Floats1
    height: Floats1
    words: Ints1

    @staticmethod
    def of_numpy() -> Ziggurat:
        """Numpy's, as numba copied them."""
        inside, width = ki_double.astype(np.int64), wi_double.astype(np.float64)
        return Ziggurat(
            inside=np.tile(inside, 2),
            width=np.append(width, -width),
            height=fi_double.astype(np.float64),
            words=np.zeros(WORDS, dtype=np.int64),
        )


@intrinsic
def _block(typing_context: Any, number: Any, key_0: Any, key_1: Any) -> Any:
    """The four words of a block; numpy's first is number 1."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, both = ir.IntType(64), ir.IntType(128)
        zero = ir.Constant(word, 0)
        (c0, *keys), c1, c2, c3 = arguments, zero, zero, zero

        def product(counter: Any, by: int) -> tuple[Any, Any]:
            whole = builder.mul(builder.zext(counter, both), ir.Constant(both, by))
            return builder.trunc(builder.lshr(whole, ir.Constant(both, 64)), word), builder.trunc(whole, word)

        for turn in range(_ROUNDS):
            if turn:
                keys = [builder.add(key, ir.Constant(word, step)) for key, step in zip(keys, _WEYL, strict=True)]
            (high_0, low_0), (high_1, low_1) = product(c0, _MULTIPLIERS[0]), product(c2, _MULTIPLIERS[1])
            c0, c2 = builder.xor(builder.xor(high_1, c1), keys[0]), builder.xor(builder.xor(high_0, c3), keys[1])
            c1, c3 = low_1, low_0
        return cgutils.pack_array(builder, [c0, c1, c2, c3])

    return types.UniTuple(types.int64, 4)(types.int64, types.int64, types.int64), generate


@inner
def _make_words(words: Any, first: int, n: int, key: Any) -> int:
    """Write the blocks of `n` words from the `first` on, as far as there is room; returns the place behind them."""
    begin, key_0, key_1 = first // 4, key[0], key[1]
    n_blocks = min((first + n + 3) // 4 - begin, WORDS // 4)
    for i in range(n_blocks):
        words[4 * i], words[4 * i + 1], words[4 * i + 2], words[4 * i + 3] = _block(begin + i + 1, key_0, key_1)
    return 4 * (begin + n_blocks)


@inner
def _word(place: int, key: Any) -> int:
    """One word of a stream."""
    found: int = _block(place // 4 + 1, key[0], key[1])[place % 4]
    return found


@inner
def _uniform(word: int) -> float:
    """On [0, 1)."""
    # Whole numbers have a sign here, which the mask takes off.
    return float((word >> 11) & 0x1FFFFFFFFFFFFF) * _TO_UNIFORM


@inner
def draw_uniforms(out: Any, first: int, n: int, key: Any, z: Any) -> None:
    """Uniforms on [0, 1) number `first` to `first + n` of a stream into the first `n` of `out`."""
    done = 0
    while done < n:
        begin = 4 * ((first + done) // 4)
        end = _make_words(z.words, first + done, n - done, key)
        last = min(n, end - first)
        for i in range(done, last):
            out[i] = _uniform(z.words[first + i - begin])
        done = last


@inner
def draw_normals(out: Any, n: int, n_used: int, key: Any, z: Any) -> int:
    """The next `n` standard normals of a stream of which `n_used` words are used; returns how many are then."""
    inside, width, words, at, done = z.inside, z.width, z.words, n_used, 0
    while done < n:
        begin = 4 * (at // 4)
        end = _make_words(words, at, n - done, key)
        while done < n and at < end:
            word = words[at - begin]
            at += 1
            layer, place = word & 0x1FF, (word >> 9) & 0xFFFFFFFFFFFFF
            x = float(place) * width[layer]
            if place < inside[layer]:
                out[done] = x
                done += 1
                continue
            x, at = _beside(x, layer & 0xFF, place, at, key, z)
            # A normal that is refused is not a number.
            if x == x:
                out[done] = x
                done += 1
    return at


@inner
def _beside(x: float, layer: int, place: int, at: int, key: Any, z: Any) -> tuple[float, int]:
    """What becomes of a place that is not within the next layer, and the words used then; NaN: refused."""
    if layer == 0:
        while True:
            beyond = -_TAIL_INVERSE * math.log1p(-_uniform(_word(at, key)))
            y = -math.log1p(-_uniform(_word(at + 1, key)))
            at += 2
            if y + y > beyond * beyond:
                return -(_TAIL + beyond) if (place >> 8) & 1 else _TAIL + beyond, at
    low, high = z.height[layer], z.height[layer - 1]
    inside = (high - low) * _uniform(_word(at, key)) + low < math.exp(-0.5 * x * x)
    return x if inside else math.nan, at + 1
