"""What a run on OpenDSS held is free as soon as it is over: a search of thousands of runs does not grow by them."""

from __future__ import annotations

import gc
from collections import Counter

from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.offline import OfflineDatacenter
from g2g_opt.feeder import Feeder
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate_runs
from studies.connection_queue.study import ConnectionQueueStudy

HELD = (OpenDSSGrid, Circuit, OfflineDatacenter, Coordinator)


def alive() -> Counter[type]:
    return Counter(type(one) for one in gc.get_objects() if type(one) in HELD)


def test_a_run_on_opendss_is_freed_without_looking_for_cycles() -> None:
    study = ConnectionQueueStudy(feeder="ieee13")
    feeder = Feeder.load("ieee13")
    plan = Plan((study.site("site", "671", study.load_models(), 10),), tap_mode="own control")

    def run(seed: int) -> None:
        (outcome,) = simulate_runs(
            [(plan, Scenario(duration_s=30, seed=seed, replica_ramps=()))], feeder, Limits(), engine="opendss"
        )
        assert outcome.failure is None
        assert outcome.summary.power_quality is not None

    run(0)  # what is made once, for all runs
    gc.collect()
    gc.disable()
    try:
        before = alive()
        run(1)
        assert alive() == before
    finally:
        gc.enable()
