#!/usr/bin/env bash
# PyPSA 1.4.0 (linopy 0.10.1, highspy 1.16.0), a network made coarser in time by its own n.cluster.temporal.resample. Snapshots get their
# weights (3 for three hours) and profiles their means, and what is stated per snapshot stays as it was for an hour: a unit that may move
# 10 % of its size in an hour may do so in three, one that must run for 6 hours must run for 6 snapshots, 18 hours. Two days whose
# unit follows the load at 57,600 $ by the hour cost 74,874 by two hours, 108,698 by three and 126,300 by four, for hours that
# are averaged to a load that is easier to follow; without a ramp limit they are 57,600 in all. A unit that is worth starting for 6
# hours by the hour (33,650 $) is never started at 2 or 3 (57,600). downsample does the same. The resample's description has
# leap days and rules by attribute, and nothing of this; no warning is given. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pypsa==1.4.0 linopy==0.10.1 highspy==1.16.0 numpy==2.4.6
cd "$folder"
cat > coarser.py <<'E2'
import logging
import warnings

import numpy as np
import pandas as pd
import pypsa


class Kept(logging.Handler):
    """Warnings of PyPSA, whatever they are of."""

    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        if record.name.startswith("pypsa"):
            self.texts.append(record.getMessage())


kept = Kept()
logging.getLogger().addHandler(kept)
warnings.simplefilter("ignore")


def two_days(ramp):
    """A cheap unit of 150 MW beside a dear one; load between 20 and 100 MW."""
    n = pypsa.Network()
    n.set_snapshots(pd.date_range("2023-01-01", periods=48, freq="h"))
    n.add("Bus", "b")
    limits = {} if ramp is None else {"ramp_limit_up": ramp, "ramp_limit_down": ramp}
    n.add("Generator", "cheap", bus="b", p_nom=150, marginal_cost=20, **limits)
    n.add("Generator", "dear", bus="b", p_nom=200, marginal_cost=100)
    n.add("Load", "d", bus="b", p_set=60 + 40 * np.sin(2 * np.pi * (np.arange(48) - 6) / 24))
    return n


def afternoon():
    """20 MW, and 100 from 12 to 18 h; a unit of 90 to 100 MW that runs for 6 hours or not at all; what is too much costs 50 $/MWh."""
    n = pypsa.Network()
    n.set_snapshots(pd.date_range("2023-01-01", periods=24, freq="h"))
    n.add("Bus", "b")
    n.add(
        "Generator", "must", bus="b", p_nom=100, marginal_cost=20, committable=True, min_up_time=6, p_min_pu=0.9, start_up_cost=50,
        up_time_before=0, down_time_before=30,
    )  # fmt: skip
    n.add("Generator", "dear", bus="b", p_nom=200, marginal_cost=60)
    n.add("Generator", "too much", bus="b", p_nom=200, p_min_pu=-1, p_max_pu=0, marginal_cost=-50)
    hour = np.arange(24)
    n.add("Load", "d", bus="b", p_set=np.where((hour >= 12) & (hour < 18), 100.0, 20.0))
    return n


def cost(n, way, hours):
    if hours > 1:
        n = n.cluster.temporal.resample(f"{hours}h") if way == "resample" else n.cluster.temporal.downsample(hours)
        assert (n.snapshot_weightings == hours).all().all()
    n.optimize(solver_name="highs")
    return round(n.objective)


for name, make in (("no limit", lambda: two_days(None)), ("10 % an hour", lambda: two_days(0.1)), ("6 hours", afternoon)):
    print("RESULT", name, *(cost(make(), "resample", hours) for hours in (1, 2, 3, 4)))
print("RESULT 10 % an hour, downsample", *(cost(two_days(0.1), "downsample", hours) for hours in (1, 2, 3, 4)))
said = [text for text in kept.texts if any(word in text.lower() for word in ("ramp", "up_time", "resampl", "snapshot"))]
print("RESULT warnings of it", len(said), "words of it in the description", "ramp" in pypsa.Network().cluster.temporal.resample.__doc__)
E2
"$folder/venv/bin/python" coarser.py >log 2>errors || { cat errors; exit 1; }
grep ^RESULT log | tee result
grep -v downsample result | diff - <(cat <<'EXPECTED'
RESULT no limit 57600 57600 57600 57600
RESULT 10 % an hour 57600 74874 108698 126300
RESULT 6 hours 33650 57600 57600 56850
RESULT warnings of it 0 words of it in the description False
EXPECTED
)
"$folder/venv/bin/python" -c "
one, two, three, four = (int(word) for word in open('result').read().split('downsample')[1].split()[:4])
assert one == 57600 < two < three, (one, two, three, four)"
echo "as recorded"
