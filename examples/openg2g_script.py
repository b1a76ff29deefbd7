"""A script as it is written for the OpenG2G guide "Building Simulators", with the import name changed, and drawn.

python examples/openg2g_script.py
"""

from fractions import Fraction

from g2g_opt.controller.ofo import LogisticModelStore, OFOBatchSizeController, OFOConfig
from g2g_opt.coordinator import Coordinator
from g2g_opt.datacenter.config import DatacenterConfig, ReplicaSchedule
from g2g_opt.datacenter.offline import OfflineDatacenter, OfflineWorkload
from g2g_opt.datacenter.workloads.inference import InferenceData
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.metrics.voltage import compute_allbus_voltage_stats
from studies.simulation_log.figures import draw_run

model = measured_spec("llama-3.1-70b", gpu="H100", model_label="chat")
workload = OfflineWorkload(
    InferenceData.ensure("data/specs", [model], dt_s=1.0),
    {"chat": ReplicaSchedule(initial=600).ramp_to(1300, t_start=100, t_end=300)},
    {"chat": 128},
)
site = OfflineDatacenter(
    DatacenterConfig(base_kw_per_phase=400.0), workload, name="campus", dt_s=Fraction(1), total_gpu_capacity=5600
)
grid = OpenDSSGrid(feeder="ieee13", dt_s=Fraction(1))
grid.attach_dc(site, bus="671")
control = OFOBatchSizeController(
    [model],
    site,
    grid,
    LogisticModelStore.ensure("data/specs", [model]),
    OFOConfig(primal_step_size=0.1),
    initial_batch_sizes={"chat": 128},
)
log = Coordinator(datacenters=[site], grid=grid, controllers=[control], total_duration_s=600).run()
print(compute_allbus_voltage_stats(log.grid_states, exclude_buses=("sourcebus", "650", "rg60")))
draw_run(log, exclude_buses=("sourcebus", "650", "rg60")).savefig("openg2g_script.png", dpi=120)
