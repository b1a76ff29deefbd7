#!/usr/bin/env bash
# windpowerlib 0.2.2. With density_correction=True a turbine's curve is stretched along the wind speed to the density of the site's
# air, which is right for the part of it that follows the energy in the wind. Its end is stretched as well: a turbine that stands
# still above 25 m/s, as its control has it whatever the air, stops at 24.12 m/s in air of 0 degrees at sea level, at 22.93 in that of
# -20, and runs at full power to 28.68 m/s in the 810 hPa of a pass. Six hours of a winter storm of 24.5 m/s are 0 instead of
# 25.2 MWh of a 4.2 MW machine of its own library, six hours of 28 m/s in the thin air 25.2 instead of 0. A correction that is to
# refine a year's energy by some per cent so takes or gives all of the hours that have the most wind; nothing is reported.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q windpowerlib==0.2.2 numpy==2.4.6 pandas==2.3.3
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pandas as pd
from windpowerlib import ModelChain, WindTurbine

turbine = WindTurbine(turbine_type="E-126/4200", hub_height=135)
NAMES = [("wind_speed", 135), ("temperature", 135), ("pressure", 135), ("roughness_length", 0)]
AIR = {"+15": (288.15, 101325.0), "0": (273.15, 101325.0), "-20": (253.15, 101325.0), "pass": (283.15, 81000.0)}


def power_mw(speeds, air, correct):
    """MW of the turbine at these wind speeds at its hub, an hour each."""
    rows = [(speed, *AIR[air], 0.1) for speed in speeds]
    columns = pd.MultiIndex.from_tuples(NAMES, names=["variable_name", "height"])
    weather = pd.DataFrame(rows, columns=columns, index=pd.date_range("2023-01-01", periods=len(rows), freq="h"))
    return ModelChain(turbine, density_correction=correct).run_model(weather).power_output.to_numpy() / 1e6


fine = np.round(np.arange(20.0, 30.0, 0.01), 2)
last = float(turbine.power_curve["wind_speed"].max())
ends = {air: tuple(float(fine[power_mw(fine, air, how) > 0.0].max()) for how in (False, True)) for air in AIR}
storm = tuple(round(float(power_mw([24.5] * 6, "0", how).sum()), 2) for how in (False, True))
thin = tuple(round(float(power_mw([28.0] * 6, "pass", how).sum()), 2) for how in (False, True))
print(f"the curve ends at {last} m/s; plain and corrected, the turbine runs up to {ends}")
print("MWh of six hours, plain and corrected: 24.5 m/s at 0 degrees", storm, "28 m/s on the pass", thin)
assert last == 25.0, last
assert ends == {"+15": (25.0, 25.0), "0": (25.0, 24.12), "-20": (25.0, 22.93), "pass": (25.0, 28.68)}, ends
assert storm == (25.2, 0.0) and thin == (0.0, 25.2), (storm, thin)
PY
echo "as recorded"
