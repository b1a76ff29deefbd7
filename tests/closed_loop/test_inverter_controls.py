"""Volt-var InvControls of the circuit on the batch engine against OpenDSS in time mode, step by step.

On the random circuits of `controlled_circuits`, beside their regulators and capacitor banks.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from controlled_circuits import circuit_text, random_loop
from engine_pair import compare, run_single

from g2g_opt.batch.simulator import run_batch
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.feeder import Feeder

Rng = np.random.Generator
# Random circuits whose controls come to rest with the first draw.
SEEDS = (0, 1, 2, 3, 4, 5, 7, 8)


def inverters(rng: Rng, way: str) -> str:
    """One to three PV systems of one or three phases under one or two InvControls that go `way` of the distance."""
    lines, names = [], []
    for k in range(int(rng.integers(1, 4))):
        bus, three = rng.choice(["mid", "far"]), rng.random() < 0.6
        kva = rng.uniform(300, 1500) if three else rng.uniform(50, 300)
        place = f"{bus} phases=3 kv=11" if three else f"{bus}.{rng.integers(1, 4)} phases=1 kv=6.35"
        lines.append(
            f"New PVSystem.pv{k} bus1={place} kva={kva:.2f} pmpp={kva * rng.uniform(0.8, 1.2):.2f} irradiance="
            f"{rng.uniform(0.3, 1.0):.3f} pf={rng.choice([1.0, 0.95, -0.97])} wattpriority={rng.choice(['yes', 'no'])}"
            + (f" kvarmax={0.5 * kva:.2f} kvarmaxabs={0.4 * kva:.2f}" if rng.random() < 0.4 else "")
        )
        names.append(f"PVSystem.pv{k}")
    lines += [
        f"New XYCurve.vv{k} npts=6 xarray=[0.5 {0.93 + 0.02 * rng.random():.4f} {0.97 + 0.02 * rng.random():.4f} "
        f"{1.0 + 0.01 * rng.random():.4f} {1.04 + 0.02 * rng.random():.4f} 1.5] yarray=[{rng.uniform(0.4, 1):.3f} "
        f"{rng.uniform(0.4, 1):.3f} 0 {rng.choice([0.0, -0.1])} -{rng.uniform(0.4, 1):.3f} -1]"
        for k in range(2)
    ]
    parts = [names] if len(names) == 1 or rng.random() < 0.5 else [names[:1], names[1:]]
    for k, part in enumerate(parts):
        lines.append(
            f"New InvControl.ic{k} derlist=[{' '.join(part)}] mode=voltvar vvc_curve1=vv{k} {way} "
            f"refreactivepower={rng.choice(['varaval', 'varmax'])} monvoltagecalc={rng.choice(['avg', 'max', 'min'])} "
            f"varchangetolerance={rng.choice([0.025, 0.005])} voltagechangetolerance={rng.choice([0.0001, 0.001])}"
        )
    return "\n".join(lines)


def feeder_of(folder: Path, seed: int, way: str) -> Feeder:
    text = circuit_text(np.random.default_rng([seed, 0]))
    path = folder / f"sunny{seed}.dss"
    own = inverters(np.random.default_rng([seed, 2]), way)
    path.write_text(text.replace("Set VoltageBases", f"{own}\nSet VoltageBases"), encoding="utf-8")
    return Feeder.from_dss(path)


@pytest.mark.parametrize("seed", SEEDS)
def test_inverters_do_what_opendss_makes_them_do(seed: int, tmp_path: Path) -> None:
    feeder = feeder_of(tmp_path, seed, f"deltaq_factor={0.2 + 0.1 * (seed % 6):.1f}")
    (run,) = run_batch([random_loop(feeder, seed)], trace=[0])
    single = run_single(random_loop(feeder, seed))
    assert (single.failure, run.failure) == (None, None)
    compare(single, run)


def test_what_is_not_modelled_of_inverters_is_named(tmp_path: Path) -> None:
    feeder = feeder_of(tmp_path, 1, "hysteresis_offset=-0.02")
    with pytest.raises(UnsupportedByBatch, match="InvControl ic0 has a hysteresis"):
        run_batch([random_loop(feeder, 1)])
