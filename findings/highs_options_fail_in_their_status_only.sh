#!/usr/bin/env bash
# highspy 1.15.1. Setting an option that cannot be used raises nothing and prints nothing with output off: a negative
# time_limit or a random_seed of 2^31 comes back as a status that a caller must look at, and the option keeps its default, for
# the time limit none at all. NaN is not among what is refused: time_limit and mip_rel_gap take NaN with the status kOk and
# hold it, although no comparison with it can ever end a search. So a limit computed as 0/0 is accepted, a limit that is over
# (remaining time below 0) is dropped, and both mean "no limit".
# Exits 0 while this is so. (No solver is started here.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q highspy==1.15.1 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import math

import highspy


def set_and_get(name, value):
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    status = solver.setOptionValue(name, value)
    return str(status).rpartition(".")[2], solver.getOptionValue(name)[1]


late = set_and_get("time_limit", -1.0)
seed = set_and_get("random_seed", 2**31)
nan_time = set_and_get("time_limit", math.nan)
nan_gap = set_and_get("mip_rel_gap", math.nan)
print("time_limit -1:", late, "random_seed 2^31:", seed, "time_limit NaN:", nan_time, "mip_rel_gap NaN:", nan_gap)
assert late == ("kError", math.inf), late
assert seed == ("kError", 0), seed
assert nan_time[0] == "kOk" and math.isnan(nan_time[1]), nan_time
assert nan_gap[0] == "kOk" and math.isnan(nan_gap[1]), nan_gap
PY
echo "as recorded"
