#!/usr/bin/env bash
# OR-Tools 9.15.6755, its solver of whole numbers (CP-SAT) as a backend for mixed programmes: by pywraplp (SAT) and by MathOpt (CP_SAT). A
# continuous variable comes out whole: a site of 2.5 MW at most is one of 2, 1,234,567.9 W are 1,234,567, two sites of up to 1.7 MW that
# share 3.1 are one of 1 each, and of three of 0.8 MW none is built where the sizes have no bound of their own. And none passes
# 10,000,000: a site of 30 MW, in W, is one of 10 MW, with a bound of 1e8 stated for it as without, and in kW it is one of 30,000. Each
# ends OPTIMAL, its bound equals its objective, and nothing is printed; SCIP, CBC and HiGHS of the same package have 2.5, 3.1, 2.4 and
# 30e6. So who puts SAT for SCIP by its name, as it is quicker at choices, has another plan, with a proof. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q ortools==9.15.6755 numpy==2.4.6 pandas==2.3.3
cd "$folder"
cat > sizes.py <<'E2'
from ortools.linear_solver import pywraplp
from ortools.math_opt.python import mathopt

# Largest size of each site if it is built, and what all may have together.
CASES = {
    "2.5": ([25.0], 2.5),
    "1234567.9": ([1e7], 1234567.9),
    "30e6": ([1e8], 30e6),
    "30e3": ([1e5], 30e3),
    "2 x 1.7": ([1.7, 1.7], 3.1),
    "3 x 0.8": ([0.8] * 3, 2.5),
}


def by_pywraplp(backend, each, total, bounded=False):
    """Objective, its bound, sizes and status of sites that may be built up to a size each and in all."""
    solver = pywraplp.Solver.CreateSolver(backend)
    size = [solver.NumVar(0, limit if bounded else solver.infinity(), f"s{i}") for i, limit in enumerate(each)]
    built = [solver.BoolVar(f"b{i}") for i in range(len(each))]
    for s, b, limit in zip(size, built, each):
        solver.Add(s <= limit * b)
    solver.Add(sum(size) <= total)
    solver.Maximize(sum(size) - 0.001 * sum(built))
    status = solver.Solve()
    return solver.Objective().Value(), solver.Objective().BestBound(), [s.solution_value() for s in size], status == solver.OPTIMAL


def by_mathopt(backend, each, total):
    model = mathopt.Model()
    size = [model.add_variable(lb=0) for _ in each]
    built = [model.add_binary_variable() for _ in each]
    for s, b, limit in zip(size, built, each):
        model.add_linear_constraint(s <= limit * b)
    model.add_linear_constraint(sum(size) <= total)
    model.maximize(sum(size) - 0.001 * sum(built))
    result = mathopt.solve(model, backend)
    bounds = result.termination.objective_bounds
    optimal = result.termination.reason == mathopt.TerminationReason.OPTIMAL
    return bounds.primal_bound, bounds.dual_bound, [result.variable_values(s) for s in size], optimal


for name, (each, total) in CASES.items():
    rows = {backend: by_pywraplp(backend, each, total) for backend in ("SAT", "SCIP", "CBC", "HIGHS")}
    rows["SAT, bounded"] = by_pywraplp("SAT", each, total, bounded=True)
    rows["MathOpt CP_SAT"] = by_mathopt(mathopt.SolverType.CP_SAT, each, total)
    rows["MathOpt GSCIP"] = by_mathopt(mathopt.SolverType.GSCIP, each, total)
    for backend, (value, bound, sizes, optimal) in rows.items():
        print("RESULT", name, "|", backend, "|", f"{sum(sizes):.1f}", "optimal" if optimal and abs(value - bound) < 1e-6 * max(1, value) else "not proven")
E2
"$folder/venv/bin/python" sizes.py >log 2>errors || { cat errors; exit 1; }
grep ^RESULT log | tee result
"$folder/venv/bin/python" - <<'PY'
found = {}
for line in open("result"):
    case, backend, rest = (part.strip() for part in line.removeprefix("RESULT").split("|"))
    size, proof = rest.split(" ", 1)
    assert proof == "optimal" or backend == "CBC", line
    found[case, backend] = float(size)
right = {"2.5": 2.5, "1234567.9": 1234567.9, "30e6": 30e6, "30e3": 30e3, "2 x 1.7": 3.1, "3 x 0.8": 2.4}
whole = right | {"2.5": 2.0, "1234567.9": 1234567.0, "30e6": 10e6, "2 x 1.7": 2.0, "3 x 0.8": 0.0}
for case in right:
    assert all(found[case, backend] == right[case] for backend in ("SCIP", "CBC", "HIGHS", "MathOpt GSCIP")), case
    assert all(found[case, backend] == whole[case] for backend in ("SAT", "MathOpt CP_SAT")), case
    assert found[case, "SAT, bounded"] == (whole | {"3 x 0.8": 2.4})[case], case
PY
echo "as recorded"
