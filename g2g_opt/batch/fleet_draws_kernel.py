"""Random numbers of all rows of a batch, compiled: those of `datacenter.draws.StepDraws`, drawn where they are used.

A stream is one model at one site in one scenario; rows of equal streams share it. What every step draws once is drawn
for a window of steps at a time, what it draws for every replica step by step, so that nothing is written that a cache
does not hold. Keys are those of the chunk that a step is in (`fleet_draws`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from g2g_opt.compiled.generator import Ziggurat, draw_normals, draw_uniforms
from g2g_opt.compiled.kernel import inner
from g2g_opt.compiled.records import Floats1, Floats2, Floats3, Ints1, Ints2
from g2g_opt.datacenter.draws import CHUNK_STEPS
from g2g_opt.datacenter.workloads.latency import EXACT_SAMPLING_MAX_REPLICAS

# Steps of a window, which begins at a multiple of them: two vectors of lanes.
WINDOW_STEPS = 32

_WINDOWS_OF_CHUNK = CHUNK_STEPS // WINDOW_STEPS


class WindowDraws(NamedTuple):
    """Standard normals of every stream, as many as `values` (stream, number, step of the window) has room for.

    `window` (stream,) is the latest that was drawn (-1: none), and `n_used` are the words used until its end.
    """

    key: Ints2
    n_used: Ints1
    window: Ints1
    values: Floats3


class FewDraws(NamedTuple):
    """A uniform and a standard normal for each of a stream's few replicas (stream, replica), in one step.

    `step` (stream,) is the latest that was drawn (-1: none), with `n_uniforms` of its uniforms.
    """

    uniform_key: Ints2
    normal_key: Ints2
    n_used: Ints1
    step: Ints1
    n_uniforms: Ints1
    uniforms: Floats2
    normals: Floats2


class DrawTable(NamedTuple):
    """What rows draw: noise of the servers by phase, mean latencies, latencies of few replicas; `stream` (row,)."""

    stream: Ints1
    noise: WindowDraws
    latency: WindowDraws
    few: FewDraws
    ziggurat: Ziggurat
    room: Floats1


@inner
def draw_window(w: WindowDraws, stream: int, window: int, room: Any, ziggurat: Any) -> None:
    """Let a stream's `values` be those of a window."""
    if w.window[stream] == window:
        return
    following, first = w.window[stream] + 1, window - window % _WINDOWS_OF_CHUNK
    n_used, width = w.n_used[stream], w.values.shape[1]
    if following <= first or following > window:
        following, n_used = first, 0
    for _ in range(following, window + 1):
        n_used = draw_normals(room, WINDOW_STEPS * width, n_used, w.key[stream], ziggurat)
    w.n_used[stream], w.window[stream] = n_used, window
    for number in range(width):
        for s in range(WINDOW_STEPS):
            w.values[stream, number, s] = room[width * s + number]


@inner
def draw_few(d: FewDraws, stream: int, step: int, n: int, ziggurat: Any) -> None:
    """Let a stream's numbers for its first `n` replicas be those of a step."""
    place, width = step % CHUNK_STEPS, EXACT_SAMPLING_MAX_REPLICAS
    if d.step[stream] != step:
        following, n_used = d.step[stream] + 1, d.n_used[stream]
        if following <= step - place or following > step:
            following, n_used = step - place, 0
        for _ in range(following, step + 1):
            n_used = draw_normals(d.normals[stream], width, n_used, d.normal_key[stream], ziggurat)
        d.n_used[stream], d.step[stream], d.n_uniforms[stream] = n_used, step, 0
    if d.n_uniforms[stream] < n:
        draw_uniforms(d.uniforms[stream], width * place, n, d.uniform_key[stream], ziggurat)
        d.n_uniforms[stream] = n
