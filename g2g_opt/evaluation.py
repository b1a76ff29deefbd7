"""`evaluate`: the one door for verdicts. A plan is run in closed loop in every scenario and held against limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from g2g_opt.data_files import TRACE_DIR
from g2g_opt.feeder import Feeder
from g2g_opt.grid.opendss import STUDY_TOLERANCE
from g2g_opt.limits import Limits
from g2g_opt.outcome import Engine, Evaluation
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate


def evaluate(
    plan: Plan,
    feeder: Feeder,
    scenarios: Sequence[Scenario],
    limits: Limits,
    *,
    engine: Engine = "batch",
    trace_dir: Path = TRACE_DIR,
    tolerance: float = STUDY_TOLERANCE,
) -> Evaluation:
    """Run `plan` in closed loop in every scenario and judge it; `engine` and `tolerance` as in `simulate`.

    A power flow that does not converge or a load that is not served fails its scenario with the reason; the other
    scenarios are still run. Raises `InputError` if plan, feeder and scenario do not fit together.
    """
    (outcomes,) = simulate([plan], scenarios, feeder, limits, engine=engine, trace_dir=trace_dir, tolerance=tolerance)
    return Evaluation(plan, tuple(outcomes))
