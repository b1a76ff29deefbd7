#!/usr/bin/env bash
# prometheus_client 0.26.0, `prometheus_client.parser`. A sample of a metric that its TYPE line calls a counter comes back
# under a name that is nowhere in the text: "_total" is put behind it unless it ends so, as OpenMetrics wants, though the
# text is none. NVIDIA's DCGM exporter names its counters without (energy since boot, PCIe replays, NVLink errors), so who
# looks a metric up by the name in the exporter's own text finds the gauges and misses every counter, without an error.
# Whether it happens hangs on the TYPE line above: the same sample without one keeps its name, so the answer changes with
# what a proxy or a filter passes on.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q prometheus_client==0.26.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
from prometheus_client.parser import text_string_to_metric_families

TEXT = """# HELP DCGM_FI_DEV_POWER_USAGE Power draw (in W).
# TYPE DCGM_FI_DEV_POWER_USAGE gauge
DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-1"} 70.5
# HELP DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION Total energy consumption since boot (in mJ).
# TYPE DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION counter
DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{gpu="0",UUID="GPU-1"} 8500000000
"""
POWER, ENERGY = "DCGM_FI_DEV_POWER_USAGE", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"


def names(text):
    return [sample.name for family in text_string_to_metric_families(text) for sample in family.samples]


typed = names(TEXT)
untyped = names("".join(line for line in TEXT.splitlines(keepends=True) if not line.startswith("#")))
print("with TYPE lines:", typed, "without:", untyped)
assert typed == [POWER, ENERGY + "_total"], typed
assert untyped == [POWER, ENERGY], untyped
PY
echo "as recorded"
