#!/usr/bin/env bash
# power-grid-model-ds 1.5.3 (networks as data, on power-grid-model 1.12.110). Its interface calculates the flow of a grid object, and of every
# later state of the same object the flow of the first: two lines of 300 A carry 3 MW, 29 % each; with one taken out of service by
# make_inactive the other still has 29 % by a second calculate_power_flow, where it has 58, and with the load doubled as well 29 for 115.
# update_grid then writes those figures beside the new states, so the line that is out has 29 % in the grid's own table.
# create_input_from_grid, which by its name and description makes the input anew, changes nothing in it; setup_model after it
# does, or a new interface. A search over outages or growth that keeps its interface finds that none matters. No warning is given.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q power-grid-model-ds==1.5.3 power-grid-model==1.12.110 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" -W error::UserWarning - <<'PY' 2>errors || { cat errors; exit 1; }
from dataclasses import dataclass

from numpy.typing import NDArray
from power_grid_model_ds import Grid, PowerGridModelInterface
from power_grid_model_ds.arrays import LineArray, NodeArray, SourceArray, SymLoadArray


class MyLines(LineArray):
    """Lines that keep their loading, as the package's guide extends them."""

    _defaults = {"loading": 0.0}
    loading: NDArray[float]


@dataclass
class MyGrid(Grid):
    line: MyLines


grid = MyGrid.empty()
grid.append(NodeArray(id=[1, 2], u_rated=[10500, 10500], node_type=[1, 0]))
grid.append(SourceArray(id=[3], node=[1], status=[1], u_ref=[1.0]))
lines = dict(from_node=[1, 1], to_node=[2, 2], from_status=[1, 1], to_status=[1, 1], r1=[0.05, 0.05], x1=[0.05, 0.05], c1=[0, 0], tan1=[0, 0])
grid.append(MyLines(id=[4, 5], **lines, i_n=[300, 300]))
grid.append(SymLoadArray(id=[6], node=[2], status=[1], type=[0], p_specified=[3e6], q_specified=[0.9e6]))


def loadings(interface):
    """% of both lines, as calculated and as the grid has them after it was updated."""
    interface.calculate_power_flow()
    interface.update_grid()
    return [round(100 * float(x)) for x in interface.output_data["line"]["loading"]], [round(100 * float(x)) for x in grid.line.loading]


kept = PowerGridModelInterface(grid)
found = {"both lines": loadings(kept)}
grid.make_inactive(grid.line.get(id=5))
found["one out, same interface"] = loadings(kept)
found["one out, new interface"] = loadings(PowerGridModelInterface(grid))
grid.sym_load.p_specified = [6e6]
grid.sym_load.q_specified = [1.8e6]
found["and load doubled, same interface"] = loadings(kept)
kept.create_input_from_grid()
found["after create_input_from_grid"] = loadings(kept)
kept.setup_model()
found["and setup_model"] = loadings(kept)
print("% of the lines as calculated, and in the grid's table")
for name, row in found.items():
    print(f"  {name:34s}", *row)
assert grid.line.to_status.tolist() == [1, 0], grid.line
stale = ("both lines", "one out, same interface", "and load doubled, same interface", "after create_input_from_grid")
assert all(found[name] == ([29, 29], [29, 29]) for name in stale), found
assert found["one out, new interface"] == ([58, 0], [58, 0]) and found["and setup_model"] == ([115, 0], [115, 0]), found
PY
echo "as recorded"
