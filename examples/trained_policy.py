"""A policy that shifts tasks between datacenters, trained on some hours and run in others.

    python examples/trained_policy.py

The eleven zones of New York, datacenters at a fifth of their peak load, and a policy that maps public figures (loads,
prices, renewables, flows) to shifts. It is trained on the cost of dispatch in 60 peak hours and judged in 486 others.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from g2g_opt.transmission.policy import ContextualPolicy
from studies.coordination_policy.peak_hour import fit_contextual, judge_policy, make_case, policy_of
from studies.coordination_policy.study import CoordinationStudy

question = CoordinationStudy(penetrations=(0.2,), alphas=(0.25,), shed_rule="sheds no more")
case = make_case(question, penetration=0.2, alpha=0.25)
train = np.sort(np.random.default_rng(7).choice(len(case.features), 60, replace=False))
test = np.setdiff1d(np.arange(len(case.features)), train)

trained = fit_contextual(question, case, train, eps=10.0, latency_margin=0.0)
judged = judge_policy(question, case, test, "contextual", trained)
base, ideal = case.base.cost_usd[test], case.ideal.cost_usd[test]
print(f"trained in {trained.seconds:.2f} s, certified: {trained.certified}")
print(f"saving {1 - judged.cost / base.mean():.2%} of {1 - ideal.mean() / base.mean():.2%} possible")

policy = policy_of(case, trained, {"records": len(train)})
policy.save(Path("policy.json"))
same = ContextualPolicy.load("policy.json")
assert np.array_equal(same.matrix, policy.matrix)

shifts_mw = trained.shifts_mw(case.features[test])
figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
axis.boxplot(shifts_mw, tick_labels=list(policy.datacenters), showfliers=False)
axis.axhline(0.0, color="0.5", linewidth=0.8)
axis.set(ylabel="shift of a datacenter's load (MW)", title="What the policy asks for in hours it was not trained on")
figure.savefig("trained_policy.png", dpi=120)
