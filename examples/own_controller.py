"""A controller of one's own in the loop, beside none and droop: in the same run, with the same demand.

    python examples/own_controller.py

A controller reads the states of what it was given and returns commands, which act from the next step on. What the grid
and a site show is their latest state; nothing of the future is there to be read.
"""

from fractions import Fraction

import matplotlib.pyplot as plt
import numpy as np

from g2g_opt import BASE_KW_PER_GPU, Controller, Feeder, Limits, Plan, Policy, Scenario, measured_spec, sized_site
from g2g_opt.assembly import assemble
from g2g_opt.clock import SimulationClock
from g2g_opt.datacenter.command import DatacenterCommand, SetBatchSize
from g2g_opt.datacenter.offline import OfflineDatacenter
from g2g_opt.events import EventEmitter
from g2g_opt.grid.command import GridCommand
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.simulation import simulate_assembled


class StepDown(Controller[OfflineDatacenter, OpenDSSGrid]):
    """Every 10 s a smaller batch size while a voltage is below `low_pu`, a larger one above `high_pu`."""

    def __init__(self, site: OfflineDatacenter, grid: OpenDSSGrid, sizes: tuple[int, ...], first: int):
        self.site, self.grid, self.sizes, self.first = site, grid, sorted(sizes), first
        self.low_pu, self.high_pu = 0.953, 0.965
        self.reset()

    @property
    def dt_s(self) -> Fraction:
        return Fraction(10)

    def reset(self) -> None:
        self.place = self.sizes.index(self.first)

    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        lowest_pu = float(np.nanmin(self.grid.voltages_vector()))
        step = -1 if lowest_pu < self.low_pu else 1 if lowest_pu > self.high_pu else 0
        place = min(max(self.place + step, 0), len(self.sizes) - 1)
        if place == self.place:
            return []
        self.place = place
        events.emit("own_controller.step", {"lowest_pu": lowest_pu, "batch_size": self.sizes[place]})
        return [SetBatchSize(dict.fromkeys(self.site.model_labels, self.sizes[place]), target=self.site)]


feeder, scenario = Feeder.load("ieee13"), Scenario(duration_s=900)
# The band alone: what a controller of batch sizes does not aim at would hide what it gains.
limits = Limits(
    loading_max_pu=None,
    unbalance_negative_sequence_max=None,
    unbalance_nema_max=None,
    rapid_voltage_change_max_pu=None,
    rapid_voltage_change_trip_max_pu=None,
)
model = measured_spec("llama-3.1-70b", gpu="H100")
campus = sized_site("campus", "671", [(model, 128)], n_servers=740, base_kw_per_gpu=BASE_KW_PER_GPU)
figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for name in ("none", "droop", "own"):
    plan = Plan((campus,), policy=Policy(name if name != "own" else "none"))
    run = assemble(plan, scenario, feeder, limits, record_loading=True)
    if name == "own":
        own = StepDown(run.datacenters["campus"], run.grid, model.feasible_batch_sizes, first=128)
        run = run.controlled_by([own])
    outcome = simulate_assembled(run, plan, scenario, feeder, limits)
    record = run.grid.record
    lowest_pu = record.voltage_pu[:, record.columns(feeder.exclude_buses)].min(axis=1)
    axis.plot(record.time_s, lowest_pu, label=name)
    print(f"{name}: kept {outcome.kept}, {outcome.summary.throughput_tps:.0f} tokens/s", *outcome.reasons[:1])
axis.axhline(limits.voltage_min_pu, color="0.5", linestyle="--")
axis.set(xlabel="time (s)", ylabel="lowest monitored voltage (pu)", title="The same demand under three controllers")
axis.legend()
figure.savefig("own_controller.png", dpi=120)
