"""The model of TCP on what a Linux kernel went through: given the same losses, it delivers when the kernel did."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2g_opt.channel.age import mean_age_s
from g2g_opt.channel.tcp import DONE, fires_s, tcp_arrivals_s

# `benchmarks/tcp_over_loss.py` (6.18, 250 ticks/s), kept by `benchmarks/tcp_same_fates.py`: 12 connections a case.
RECORD = json.loads(gzip.decompress((Path(__file__).parent / "tcp" / "fates.json.gz").read_bytes()))


def modelled_s(fates: dict[str, Any]) -> np.ndarray:
    """Deliveries (s from the first sending; inf: never) if exactly the packets marked with x are lost."""
    n, marks = len(fates["arrival_s"]), (fates["data"], fates["acknowledgements"])
    uniforms = np.ones((2, len(marks[0]) + 40 * n))
    for row, way in zip(uniforms, marks, strict=True):
        row[: len(way)] = [0.0 if mark == "x" else 1.0 for mark in way]
    began_s, none, way_s = fates["first_s"] + RECORD["phase_s"], np.zeros(0), np.full(uniforms.shape[1], 5e-5)
    arrival_s = np.empty(n)
    last = (uniforms[0], uniforms[1], way_s, way_s, 0.0, 64, 256, arrival_s)
    said = tcp_arrivals_s(began_s + np.arange(float(n)), began_s + n, 0.5, none, 0.5, none, 0.0, none, *last)
    assert said == DONE
    return arrival_s - began_s


@pytest.mark.parametrize(("case", "close"), [(0, 1.0), (1, 0.97), (2, 0.85)], ids=["10 %", "20 %", "30 %"])
def test_what_a_kernel_went_through_is_delivered_when_the_kernel_did(case: int, close: float) -> None:
    connections = RECORD["cases"][case]
    seen_s = [np.array([np.inf if s is None else s for s in fates["arrival_s"]]) for fates in connections]
    found_s = [modelled_s(fates) for fates in connections]
    n = len(seen_s[0])
    late_s = np.concatenate([np.minimum(a, n) - np.minimum(b, n) for a, b in zip(found_s, seen_s, strict=True)])
    # Where a repair falls on the edge of a timer's slot, it is a slot of up to 2 s early or late.
    assert np.mean(np.abs(late_s) < 0.1) >= close
    ages = [np.mean([mean_age_s(np.arange(float(n)), s, float(n)) for s in both]) for both in (found_s, seen_s)]
    assert ages[0] == pytest.approx(ages[1], rel=0.05)


def test_timers_wait_for_the_end_of_their_slot() -> None:
    # 51 ticks in the first wheel, 102 to 408 in the second (8 ticks a slot), 816 in the third (64), 6,528 in the
    # fourth (512): see the repairs of `benchmarks/tcp_over_loss.py`.
    assert fires_s(10.0, 0.204) == pytest.approx(10.208)
    assert fires_s(10.0, 0.408) == pytest.approx(10.432)
    assert fires_s(9.984, 1.632) == pytest.approx(11.648)
    assert fires_s(9.984, 3.264) == pytest.approx(13.312)
    late = [fires_s(at_s, 26.112) - at_s - 26.112 for at_s in np.arange(0.0, 20.0, 0.1)]
    assert 0.0 < min(late) < 0.2
    assert 1.8 < max(late) < 2.0481
