#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1). `Reduce` with ReduceOption=Default makes
# one line of several in a row where nothing is connected between; its impedance is their sum, its normal and emergency ratings are those
# of the last of them, whatever the others'. Lines of 300, 100 and 200 A become one of 200: 3 MW, 153 A, load the second to 1.53, and after
# it nothing is over its rating, while power flow and losses are the same. Where the weakest stands last, the row has its rating by
# luck. MergeParallel makes one line of two side by side and gives it the second one's rating alone: of two lines of 300 A, 600 A
# together, one of 300 that reads as loaded twice as much. In EPRI's engine it is as long and resistive as one of them as well (0.3 ohm,
# in DSS C-API 0.15), so the drop over the pair doubles. All of it alike in both but for that, and nothing is reported.
# Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q opendssdirect.py==0.9.4 dss-python==0.15.7 dss-python-backend==0.14.5 numpy==2.4.6 py-dss-interface==2.3.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import opendssdirect
import py_dss_interface

epri = py_dss_interface.DSS()
Z = "length=1 units=km r1=0.3 x1=0.6 r0=0.6 x0=1.2 c1=0 c0=0"


def line(name, first, second, amps):
    return f"New Line.{name} bus1={first} bus2={second} {Z} normamps={amps} emergamps={amps + 50}"


def reduced(option, *lines, load_at):
    """Of each engine, before and after: kW of the source, and of each line in service its rating, emergency rating and loading."""
    circuit = (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=100000 mvasc1=100000",
        *lines,
        f"New Load.x bus1={load_at} kv=12.47 kw=3000 kvar=1000",
        "New EnergyMeter.m element=Line.head terminal=1",
        "Set voltagebases=[12.47]",
        "CalcVoltageBases",
        "Solve",
    )
    engines = []
    for text, circuit_api, element in (
        (epri.text, epri.circuit, epri.cktelement),
        (opendssdirect.Text.Command, opendssdirect.Circuit, opendssdirect.CktElement),
    ):
        mine = text == opendssdirect.Text.Command
        states = []
        for command in (*circuit, None, f"Set ReduceOption={option}", "Reduce All", "Solve", None):
            if command is not None:
                text(command)
                continue
            kw = -(circuit_api.TotalPower() if mine else circuit_api.total_power)[0]
            rated = {}
            for name in circuit_api.AllElementNames() if mine else circuit_api.elements_names:
                if not name.startswith("Line."):
                    continue
                text(f"Select {name}")
                if not (element.Enabled() if mine else element.is_enabled):
                    continue
                amps = max((element.CurrentsMagAng() if mine else element.currents_mag_ang)[0:6:2])
                normal, emergency = (element.NormalAmps(), element.EmergAmps()) if mine else (element.norm_amps, element.emerg_amps)
                rated[name[5:]] = round(normal), round(emergency), round(amps / normal, 2)
            states.append((round(kw), rated))
        engines.append(states)
    return engines


def row(first, second, third):
    lines = (line("head", "s", "a", 400), line("l2", "a", "b", first), line("l3", "b", "c", second), line("l4", "c", "d", third))
    theirs, mine = reduced("Default", *lines, load_at="d")
    print(f"\n{first}, {second}, {third} A in a row:", *mine)
    assert [state[1] for state in theirs] == [state[1] for state in mine], (theirs, mine)
    assert {kw for kw, _ in (*theirs, *mine)} == {3084}, (theirs, mine)
    return mine


middle, end = row(300, 100, 200), row(300, 200, 100)
assert middle[0][1] == {"head": (400, 450, 0.38), "l2": (300, 350, 0.51), "l3": (100, 150, 1.53), "l4": (200, 250, 0.76)}, middle
assert middle[1][1] == {"head": (400, 450, 0.38), "l2~l3~l4": (200, 250, 0.76)}, middle
assert end[1][1] == {"head": (400, 450, 0.38), "l2~l3~l4": (100, 150, 1.53)}, end

pair = line("head", "s", "a", 400), line("one", "a", "b", 300), line("two", "a", "b", 300)
theirs, mine = reduced("MergeParallel", *pair, load_at="b")
print("two of 300 A side by side:", *mine, "EPRI's:", *theirs)
assert theirs[0] == mine[0] == (3030, {"head": (400, 450, 0.37), "one": (300, 350, 0.25), "two": (300, 350, 0.25)}), (theirs, mine)
assert mine[1] == (3030, {"head": (400, 450, 0.37), "a||b": (300, 350, 0.5)}), mine
assert theirs[1] == (3040, {"head": (400, 450, 0.37), "a||b": (300, 350, 0.5)}), theirs
for one, two in ((300, 100), (100, 300)):
    others = reduced("MergeParallel", pair[0], line("one", "a", "b", one), line("two", "a", "b", two), load_at="b")
    print(f"{one} A beside {two}:", *others)
    assert [engine[1][1]["a||b"][:2] for engine in others] == [(two, two + 50)] * 2, others
assert (epri.text("? Line.a||b.r1"), opendssdirect.Text.Command("? Line.a||b.r1") or opendssdirect.Text.Result()) == ("0.3", "0.15")
PY
echo "as recorded"
