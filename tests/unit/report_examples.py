"""Conclusions made of plain numbers, with texts that try to break a page, for the tests of reports and files."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from g2g_opt.feeder import Feeder
from studies.report.provenance import FailedTask, Provenance, TaskStates
from studies.shared.conclusion import Chart, Column, Conclusion, Envelope, FeederMap, Line, MissingAnswer, ResultTable

HOSTILE = (
    "</script><script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\"> & 'q' \u2028 ${7}"
)
N_LONG_ROWS = 15_225

PROVENANCE = Provenance(
    code_version="0.1.0+4f1c9ab2e0",
    versions={"python": "3.11.9", "numpy": "2.3.1", "numba": "0.61.2", "dss_python_backend": "0.14.5"},
    question_toml='study = "hosting-capacity"\nfeeder = "ieee123"\nmodels = ["llama-3.1-70b"]\nseed = 7\n',
    command="g2g run study.toml --workers 8 --out results/ieee123",
    seed=7,
    input_hashes={"feeder/lines.csv": "a3" * 32, "workloads/mlenergy_v3_llm.csv": "0f" * 32},
    hosts=("planner-1", "planner-2"),
    started=datetime(2026, 3, 2, 8, 15, 4, tzinfo=UTC),
    finished=datetime(2026, 3, 2, 10, 3, 51, tzinfo=UTC),
    seconds=6527.0,
    engines=("batch engine: 15,225 simulations", "OpenDSS 0.14.5: 6 finalists"),
)
TASKS = TaskStates(
    counts={"done": 1013, "failed": 2, "split": 1},
    failed=(
        FailedTask("bus 66, seeds 8 to 15", "PowerFlowError: no solution in 300 iterations", 3),
        FailedTask("bus 450, seeds 0 to 7", HOSTILE, 2),
    ),
    code_versions=("0.1.0+4f1c9ab2e0",),
)


def ieee123_conclusion() -> Conclusion:
    """Sizes found at every three-phase bus of the 123-bus feeder, made up by rule and by a seeded draw."""
    feeder, draw = Feeder.load("ieee123"), random.Random(123)
    buses = [bus for bus in feeder.candidate_buses if feeder.buses[bus].xy is not None]
    far = {bus: math.dist(feeder.buses[bus].xy or (0, 0), (100.0, 1500.0)) / 5000.0 for bus in buses}
    firm = {bus: max(0.0, 4.6 - 3.9 * far[bus] + draw.uniform(-0.3, 0.3)) for bus in buses}
    flexible = {bus: firm[bus] * draw.uniform(1.12, 1.45) for bus in buses}
    best = sorted(buses, key=lambda bus: -flexible[bus])[:3]
    for bus in buses[-3:]:
        del firm[bus]
    sizes = ResultTable(
        "hosting_capacity",
        "Largest datacenter per bus, simulated",
        (
            Column("bus", "bus"),
            Column("firm_mw", "firm MW", 2),
            Column("flexible_mw", "flexible MW", 2),
            Column("n_gpus", "GPUs", 0),
            Column("throughput_share", "tokens served", 3),
            Column("violation_time_s", "outside the band (s)", 1, secondary=True),
            Column("limit", "limit that stops the next size"),
            Column("confirmed", "confirmed on OpenDSS"),
        ),
        [
            {
                "bus": bus,
                "firm_mw": firm.get(bus),
                "flexible_mw": flexible[bus],
                "n_gpus": round(1300 * flexible[bus]),
                "throughput_share": draw.uniform(0.86, 1.0),
                "violation_time_s": draw.choice([0.0, 0.0, 12.5, 31.0]),
                "limit": draw.choice(["voltage below 0.95 pu at 114.A, 1830 s", "line l115 at 1.00 of its rating"]),
                "confirmed": bus in best,
            }
            for bus in buses
        ],
    )
    plans = ResultTable(
        "plans",
        "All plans simulated",
        (
            Column("plan", "plan", 0),
            Column("bus", "bus"),
            Column("seed", "seed", 0),
            Column("size_mw", "size MW", 3),
            Column("lowest_pu", "lowest pu", 4),
            Column("kept", "limits kept"),
            Column("note", "note"),
        ),
        [
            {
                "plan": k,
                "bus": buses[k % len(buses)],
                "seed": k // 700,
                "size_mw": draw.uniform(0.5, 6.0),
                "lowest_pu": draw.gauss(0.962, 0.01) if k % 40 else None,
                "kept": k % 3 != 0,
                "note": HOSTILE if k == 3 else "",
            }
            for k in range(N_LONG_ROWS)
        ],
        folded=True,
    )
    binding = ResultTable(
        "binding",
        "Limits that stopped the next size",
        (Column("limit", "limit"), Column("where", "where"), Column("n_buses", "buses", 0)),
        [
            {"limit": "voltage below 0.95 pu", "where": "114.A", "n_buses": 31},
            {"limit": "voltage below 0.95 pu", "where": "66.C", "n_buses": 14},
            {"limit": "line rating", "where": "l115", "n_buses": 9},
        ],
    )
    return Conclusion(
        title="Hosting capacity of ieee123: llama-3.1-70b on H100",
        answer=(
            f"Bus {best[0]} hosts most: {flexible[best[0]]:.2f} MW with flexible operation, {firm[best[0]]:.2f} MW "
            "firm, over the whole simulated hour in 16 scenarios."
            f"\nOf {len(buses)} three-phase buses, {sum(mw >= 2.0 for mw in firm.values())} take 2 MW firm or more."
        ),
        feeder="ieee123",
        tables=(sizes, plans, binding),
        maps=(
            FeederMap("Firm capacity", "MW", firm, {b: f"{m:.2f} MW firm" for b, m in firm.items()}),
            FeederMap(
                "Flexible capacity",
                "MW",
                flexible,
                {best[1]: HOSTILE},
                {best[0]: "best site", best[1]: "second <b>&</b>", best[2]: "third"},
            ),
            FeederMap("Tokens served at the flexible size", "share", {b: draw.uniform(0.86, 1) for b in buses}),
        ),
        envelopes=tuple(_envelope(feeder, bus, draw) for bus in best),
        charts=(
            Chart(
                "Lowest voltage: predicted next to simulated",
                "predicted (pu)",
                "simulated (pu)",
                tuple(
                    Line(f"bus {bus}", predicted, [v - draw.uniform(0, 0.004) for v in predicted], True, ["x < y"] * 12)
                    for bus in best
                    for predicted in [[draw.uniform(0.94, 1.0) for _ in range(12)]]
                ),
                diagonal=True,
            ),
            Chart(
                "Capacity by bus",
                "bus",
                "MW",
                (
                    Line("firm", buses[:12], [firm.get(bus) for bus in buses[:12]]),
                    Line("flexible <&>", buses[:12], [flexible[bus] for bus in buses[:12]]),
                ),
            ),
        ),
        failures=(
            MissingAnswer(
                "bus 610, flexible", "no size down to one server keeps the limits: voltage at 610.B below 0.95 pu"
            ),
            MissingAnswer(f"bus {HOSTILE}", HOSTILE),
        ),
        warnings=(
            "Ratings are passed at these sizes: line l115 up to 1.21 of normal. --loading-max 1.0 keeps them.",
            f"A name from a user's file: {HOSTILE}",
        ),
        not_assessed=(
            "thermal limits: loadings are reported, not judged (--loading-max judges them)",
            "one hour; no seasons, no contingencies",
            "protection, short-circuit levels, harmonics and sub-second transients",
            "the grid upstream of the feeder's source",
        ),
    )


def _envelope(feeder: Feeder, site: str, draw: random.Random) -> Envelope:
    nodes = [(bus.name, phase) for bus in feeder.buses.values() for phase in bus.phases if bus.name != "150"]
    middle = [1.03 - 0.07 * k / len(nodes) + 0.006 * phase for k, (_, phase) in enumerate(nodes)]
    return Envelope(
        title=f"{site}, flexible",
        nodes=tuple(f"{bus}.{'ABC'[phase - 1]}" for bus, phase in nodes),
        lowest_pu=[v - draw.uniform(0.008, 0.03) for v in middle],
        highest_pu=[v + draw.uniform(0.0, 0.012) for v in middle],
        voltage_min_pu=0.95,
        voltage_max_pu=1.05,
    )


USER_CIRCUIT = """
Clear
New Circuit.mine basekv=12.47 bus1=sub pu=1.02
New Line.l1 bus1=sub bus2=feed_1 length=1 units=km
New Line.l2 bus1=feed_1 bus2=feed_2 length=2 units=km
New Line.l3 bus1=feed_2 bus2=feed_3 length=2 units=km
New Line.l4 bus1=feed_3 bus2=end_of_line length=2 units=km
New Line.b1 bus1=feed_1.1 bus2=lateral_a.1 phases=1 length=1 units=km
New Line.b2 bus1=lateral_a.1 bus2=lateral_b.1 phases=1 length=1 units=km
New Line.b3 bus1=feed_3 bus2=mill length=1 units=km
New Line.tie bus1=mill bus2=feed_1 length=1 units=km
New Line.spare bus1=end_of_line bus2=mill length=1 units=km
Open Line.spare 1
New Transformer.t1 windings=2 buses=(feed_2, works) kvs=(12.47, 0.48) kvas=(1000, 1000)
New Load.works bus1=works kv=0.48 kw=300
Set voltagebases=[12.47, 0.48]
CalcVoltageBases
"""


def user_feeder(folder: Path) -> Feeder:
    """A user's own circuit that has no coordinates."""
    master = folder / "Master.dss"
    master.write_text(USER_CIRCUIT, encoding="utf-8")
    return Feeder.from_dss(master, "user_circuit")


def user_conclusion() -> Conclusion:
    """A small conclusion on the user's circuit: one map, one table, nothing failed, nothing left out."""
    megawatts = {"feed_1": 3.1, "feed_2": 2.2, "feed_3": 1.4, "mill": 1.9}
    return Conclusion(
        title="Hosting capacity of user_circuit",
        answer="Bus feed_1 hosts 3.10 MW firm.",
        feeder="user_circuit",
        tables=(
            ResultTable(
                "hosting_capacity",
                "Largest datacenter per bus",
                (Column("bus", "bus"), Column("firm_mw", "firm MW", 2)),
                [{"bus": bus, "firm_mw": mw} for bus, mw in megawatts.items()],
            ),
        ),
        maps=(FeederMap("Firm capacity", "MW", megawatts, marked={"feed_1": "best"}),),
    )


def wide_conclusion() -> Conclusion:
    """A conclusion with a table as wide as those of hosting capacity, and charts of every kind of line."""
    names = [f"figure_{k}_mw" for k in range(24)]
    rows = [
        {"bus": bus, "operation": operation, **dict.fromkeys(names, 1234.567), "taps": "creg1a=1.09375 creg1b=1.0375"}
        for bus in ("feed_1", "feed_2", "feed_3", "mill")
        for operation in ("firm", "flexible")
    ]
    columns = (
        Column("bus", "bus"),
        Column("operation", "operation"),
        *(Column(name, f"figure {k} MW", 2) for k, name in enumerate(names)),
        Column("taps", "taps"),
    )
    voltage = Chart(
        "Voltage against distance",
        "distance (km)",
        "voltage (pu)",
        (
            Line("A without a site", [1.0], [1.0], points=True, text=["end.A"], hue=0),
            Line("A with", [1.0], [0.99], points=True, text=["end.A"], low=[0.951], hue=0),
        ),
        limits=(0.95, 1.05),
        marked=((1.0, 0.951, "end.A: lowest with"),),
    )
    constant = Chart("Constant", "x", "y", (Line("a", [0.0, 1.0, 2.0], [3.0, 3.0 + 1e-12, 3.0]),))
    many = Chart("Many", "x", "y", tuple(Line(f"bus {k}", [0.0, 1.0], [float(k), k + 1.0]) for k in range(9)))
    conclusion = user_conclusion()
    (map_of_feeder,) = conclusion.maps
    return replace(
        conclusion,
        tables=(ResultTable("capacities", "Hosting capacity", columns, rows),),
        maps=(map_of_feeder,),
        charts=(voltage, constant, many),
    )
