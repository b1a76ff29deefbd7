"""The year of a handed-over siting plan on OpenDSS, by the script of the tests that knows nothing of ours.

g2g siting --feeder ieee34 --mode pv --out results/pv34
python benchmarks/replay_plan.py results/pv34/plan --utilisation 0,0.5,0.9,1
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "cross_check"))

from replay_of_plans import cost_of_plan, replay


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--utilisation", default="1", help="shares of their sizes that sites draw, e.g. 0,0.5,0.9,1")
    options = parser.parse_args()
    said = json.loads((options.folder / "plan.json").read_text(encoding="utf-8"))
    without = replay(options.folder, 0.0, with_plan=False)
    print(f"the feeder as it is: {without}", flush=True)
    for text in options.utilisation.split(","):
        one = replay(options.folder, float(text))
        print(f"utilisation {text}: {one}", flush=True)
        told = [
            year for year in said["years"] if year["what"] == "the plan" and year["utilisation"] in (None, float(text))
        ]
        for year in told:
            print(f"  tap steps replayed {one.tap_steps}, told {year['tap_steps']}")
        if told == said["years"][:1]:
            cost = cost_of_plan(options.folder, one, without)
            off = abs(cost - said["cost"]) / abs(said["cost"])
            print(f"  replayed {cost:,.2f} $ a year, told {said['cost']:,.2f}: {100 * off:.4f} % off")
    return 0


if __name__ == "__main__":
    sys.exit(main())
