"""Random plans in random scenarios on a bundled feeder, for comparing engines; the same ones for the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import numpy as np

from g2g_opt.assembly import assemble
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan, Policy
from g2g_opt.scenario import Scenario
from g2g_opt.site import BASE_KW_PER_GPU, Site, sized_site, smallest_n_servers

MODELS = tuple(
    measured_spec(name, gpu="H100", task="lm-arena-chat")
    for name in ("llama-3.1-8b", "llama-3.1-70b", "Llama-3.1-405B-Instruct-FP8", "llama-3.3-70b", "Qwen3-14B")
)
# Servers of all sites together: enough for low voltages, seldom more than the feeder carries.
SERVERS = {"ieee13": (100, 900), "ieee34": (15, 80), "ieee123": (60, 350)}
# Duration (s), period of sites and grid, period of controllers (s).
RHYTHMS = ((40, Fraction(1), Fraction(1)), (90, Fraction(1), Fraction(1)), (60, Fraction(1), Fraction(5)))
RHYTHMS += ((20, Fraction(1, 2), Fraction(1)),)
# Tighter than a study's: what is left of the difference between two engines is rounding.
TOLERANCE = 1e-10


def random_tasks(feeder: Feeder, n: int, seed: int) -> Iterator[tuple[Plan, Scenario]]:
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        yield random_plan(feeder, rng), random_scenario(rng, f"random {i}")


def random_plan(feeder: Feeder, rng: np.random.Generator) -> Plan:
    n_sites = int(rng.integers(1, 5))
    share = rng.dirichlet(np.full(n_sites, 3.0)) * rng.uniform(*SERVERS[feeder.name])
    buses = rng.choice(len(feeder.candidate_buses), n_sites, replace=False)
    sites = tuple(
        random_site(f"site {k}", feeder.candidate_buses[bus], int(servers), rng)
        for k, (bus, servers) in enumerate(zip(buses, share, strict=True))
    )
    start = feeder.initial_taps.regulators if feeder.initial_taps is not None else {}
    taps = tuple(
        (name, min(start[name] + int(rng.integers(-4, 3)) * regulator.tap_step_pu, regulator.tap_max_pu))
        for name, regulator in feeder.regulators.items()
        if rng.random() < 0.5
    )
    return Plan(sites, taps, random_policy(rng))


def random_site(name: str, bus: str, n_servers: int, rng: np.random.Generator) -> Site:
    specs = [MODELS[k] for k in rng.choice(len(MODELS), int(rng.integers(1, 4)), replace=False)]
    models = [(spec, int(rng.choice(spec.feasible_batch_sizes))) for spec in specs]
    base_kw = BASE_KW_PER_GPU * rng.uniform(0.3, 1.5)
    site = sized_site(name.replace(" ", "_"), bus, models, max(n_servers, smallest_n_servers(models)), base_kw)
    return replace(site, power_factor=float(rng.uniform(0.9, 1.0)))


def random_policy(rng: np.random.Generator) -> Policy:
    kind = ("none", "droop", "ofo")[rng.integers(3)]
    if kind == "none":
        return Policy()
    settings = {
        "droop": {"step_size": float(rng.uniform(2, 40)), "latency_guard": float(rng.integers(2))},
        "ofo": {
            "sensitivity_update_interval": float(rng.choice([0, 7, 3600])),
            "w_throughput": float(rng.choice([0.001, 0.01])),
        },
    }[kind]
    kept = tuple((name, value) for name, value in settings.items() if rng.random() < 0.7)
    return Policy(kind, float(rng.choice([0.0, 0.002, 0.02])), kept)  # type: ignore[arg-type]


def random_scenario(rng: np.random.Generator, name: str) -> Scenario:
    duration_s, dt_s, control_dt_s = RHYTHMS[rng.integers(len(RHYTHMS))]
    begin = float(rng.uniform(0, duration_s / 2))
    ramp = (begin, begin + float(rng.uniform(0, duration_s / 2)), float(rng.uniform(0.3, 1.0)))
    return Scenario(
        name,
        duration_s,
        dt_s,
        control_dt_s,
        replica_share_start=float(rng.uniform(0.3, 1.0)),
        replica_ramps=(ramp,) if rng.random() < 0.8 else (),
        standing_power=bool(rng.random() < 0.7),
        server_spread=float(rng.choice([0.0, 0.02, 0.1])),
        server_noise=float(rng.choice([0.0, 0.005, 0.05])),
        seed=int(rng.integers(1000)),
    )


def build(feeder: Feeder, plan: Plan, scenario: Scenario, tolerance: float = TOLERANCE) -> Coordinator:
    return assemble(plan, scenario, feeder, Limits(), tolerance=tolerance).coordinator
