#!/usr/bin/env bash
# OpenG2G 0.2.0.post1. A datacenter's replicas take whole servers, and what runs on them is then counted by servers: of a model of one GPU,
# 3 replicas on servers of 8 GPUs draw the power of 8 and are reported as 8 active ones, 17 as 24, and of one of 3 GPUs 1 as 2.
# Throughput and tokens of its own statistics go by these, 2.67 times what 3 replicas make. A controller that moves 4 of 8
# replicas from one site to another with 8 leaves 8 running at the one and makes 16 of them at the other: of the 16 there were, 24
# run. Ten models of 1 replica each fill ten servers, 80 GPUs of power for
# 10. Whole servers are right for the power of idle neighbours at best, not for replicas; nothing is reported, and its examples' counts
# are multiples of servers. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "openg2g==0.2.0.post1" numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import numpy as np
from openg2g.common import ThreePhase
from openg2g.datacenter.base import LLMDatacenterState
from openg2g.datacenter.layout import ServerPool
from openg2g.datacenter.workloads.inference import InferencePowerAugmenter
from openg2g.metrics.performance import compute_performance_stats

SERVERS, WATTS = 30, 500.0


def run(gpus_per_replica, **replicas):
    """W, and replicas reported as active, of models with so many replicas on servers of 8 GPUs of 500 W."""
    pool = ServerPool(
        num_servers=SERVERS,
        gpus_per_server=8,
        phase_list=np.arange(SERVERS) % 3,
        stagger_offsets=np.zeros(SERVERS, dtype=int),
        amplitude_scales=np.ones(SERVERS),
        noise_fraction=0.0,
        model_priorities={name: np.arange(SERVERS) for name in replicas},
    )
    augmenter = InferencePowerAugmenter(pool=pool, gpus_per_replica_by_model=dict.fromkeys(replicas, gpus_per_replica))
    out = augmenter.augment({name: np.full(SERVERS, WATTS) for name in replicas}, replicas)
    return sum(out.power_by_model_w.values()), dict(out.active_replicas_by_model)


def tokens_per_second(active):
    """By OpenG2G's own statistics, of so many replicas with a batch of 32 and 40 ms between tokens."""
    power = ThreePhase(0.0, 0.0, 0.0)
    states = [
        LLMDatacenterState(
            time_s=float(t), power_w=power, batch_size_by_model={"m": 32}, active_replicas_by_model={"m": active}, observed_itl_s_by_model={"m": 0.04}
        )
        for t in range(3)
    ]
    return compute_performance_stats(states, itl_deadline_s_by_model={"m": 1.0}).mean_throughput_tps


print("replicas of 1 GPU: kW, active ones; kW of the GPUs that they need")
found = {n: run(1, m=n) for n in (3, 4, 8, 12, 16, 17)}
for n, (watts, active) in found.items():
    print(" ", n, watts / 1e3, active["m"], n * WATTS / 1e3)
three = run(3, m=1)
ten = run(1, **{f"m{i}": 1 for i in range(10)})
print("1 replica of 3 GPUs:", three, "ten models of 1 replica:", ten[0] / 1e3, sum(ten[1].values()))
print("tokens/s of 3 replicas as reported, and of 3:", tokens_per_second(found[3][1]["m"]), tokens_per_second(3))
assert {n: (watts / WATTS, active["m"]) for n, (watts, active) in found.items()} == {
    3: (8, 8), 4: (8, 8), 8: (8, 8), 12: (16, 16), 16: (16, 16), 17: (24, 24),
}, found  # fmt: skip
assert three == (8 * WATTS, {"m": 2}) and (ten[0], sum(ten[1].values())) == (80 * WATTS, 80), (three, ten)
assert round(tokens_per_second(8) / tokens_per_second(3), 2) == 2.67
PY
echo "as recorded"
