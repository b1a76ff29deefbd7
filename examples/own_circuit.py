"""How large a datacenter can a bus of my own circuit host? A sweep of sizes, each judged over an hour in closed loop.

    python examples/own_circuit.py [path/to/Master.dss] [BUS]

`g2g hosting-capacity` does this with a search, for many buses, and writes a report; this is the same thing by hand.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt

from g2g_opt import BASE_KW_PER_GPU, Feeder, Limits, Plan, Policy, Scenario, measured_spec, simulate, sized_site

circuit = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "circuits" / "small_town.dss"
feeder = Feeder.from_dss(circuit)
bus = sys.argv[2] if len(sys.argv) > 2 else feeder.candidate_buses[-1]
limits = Limits(voltage_min_pu=0.95, voltage_max_pu=1.05)
model = measured_spec("llama-3.1-70b", gpu="H100")
sizes = [100, 200, 300, 400, 500, 600]  # servers of eight GPUs

figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
for name, policy in (("firm", Policy()), ("flexible (OFO)", Policy("ofo", margin_pu=0.003))):
    sites = [sized_site("campus", bus, [(model, 128)], n, BASE_KW_PER_GPU) for n in sizes]
    runs = simulate([Plan((site,), policy=policy) for site in sites], [Scenario(duration_s=600)], feeder, limits)
    outcomes = [of_plan[0] for of_plan in runs]
    answered = [run for run in outcomes if run.failure is None]
    peaks_mw = [run.summary.power_peak_mw for run in answered]
    axis.plot(peaks_mw, [run.summary.lowest for run in answered], "o-", label=name)
    kept = [run for run in outcomes if run.kept]
    print(f"{name}: {max((run.summary.power_peak_mw for run in kept), default=0.0):.2f} MW at bus {bus} of {feeder}")
    first_broken = next((run for run in outcomes if not run.kept), None)
    print("  the next size:", first_broken.reasons[0] if first_broken else "none is refused")

axis.axhline(limits.voltage_min_pu, color="0.5", linestyle="--", label="lower limit")
axis.set(xlabel="peak power of the site (MW)", ylabel="lowest voltage of the run (pu)", title=f"Bus {bus}")
axis.legend()
figure.savefig("own_circuit.png", dpi=120)
