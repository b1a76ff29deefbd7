"""The training trace: model, file, periodicity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from g2g_opt.datacenter.workloads.training import TrainingTrace
from g2g_opt.errors import InputError


def test_generated_trace_has_plateaus_and_dips_and_is_repeatable() -> None:
    trace = TrainingTrace.generate(duration_s=360.0, dt_s=0.1)
    assert trace.t_s.shape == (3600,)
    assert trace.period_s == pytest.approx(360.0)
    np.testing.assert_array_equal(trace.power_w, TrainingTrace.generate(duration_s=360.0, dt_s=0.1).power_w)
    assert not np.array_equal(trace.power_w, TrainingTrace.generate(duration_s=360.0, dt_s=0.1, seed=1).power_w)
    # By the stated model: 16 of 360 s are checkpoints; of the rest a fifth is communication.
    assert np.mean(trace.power_w < 250) == pytest.approx(16 / 360, abs=0.002)
    assert np.mean(trace.power_w > 500) == pytest.approx(0.8 * 344 / 360, abs=0.01)
    assert trace.power_w.min() > 100
    assert trace.peak_w < 700


def test_power_is_linear_between_samples_and_periodic() -> None:
    trace = TrainingTrace(np.array([5.0, 6.0, 7.0]), np.array([10.0, 30.0, 20.0]))
    np.testing.assert_allclose(trace.power_at(np.array([0.0, 0.5, 2.0, 2.5, 3.0, 300.5])), [10, 20, 20, 15, 10, 20])


def test_file_gives_the_same_numbers_back(tmp_path: Path) -> None:
    path = tmp_path / "below" / "trace.csv"
    made = TrainingTrace.ensure(path)
    assert path.read_text().startswith("t_s,power_W\n")
    loaded = TrainingTrace.ensure(path)
    np.testing.assert_array_equal(loaded.power_w, made.power_w)
    np.testing.assert_array_equal(loaded.t_s, made.t_s)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time,power\n0,1\n", "columns t_s, power_W"),
        ("", "is empty"),
        ("t_s,power_W\n0,1\n", "2 samples"),
        ("t_s,power_W\n0,1\n0,2\n", "rise"),
        ("t_s,power_W\n0,1\n1,x\n", "line 3, power_W: 'x' is no number"),
        ("t_s,power_W\n0,-1\n1,2\n", "line 2, power_W: '-1' must be from 0"),
        ("t_s,power_W\n0,0\n1,0\n", "above 0 W"),
    ],
)
def test_bad_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        TrainingTrace.load(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.csv"):
        TrainingTrace.load(tmp_path / "nothing.csv")
    with pytest.raises(InputError, match="dt_s"):
        TrainingTrace.generate(dt_s=0.0)
