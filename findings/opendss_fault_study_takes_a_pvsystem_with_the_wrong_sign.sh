#!/usr/bin/env bash
# OpenDSSDirect.py 0.9.4 (DSS C-API 0.14.5) and py-dss-interface 2.3.0 (EPRI's engine 10.1.0.1), alike. In a fault study the impedance
# of a PVSystem (%R and %X, 50 each where nobody states them) stands beside the grid with the wrong sign, as admittance -1/z: 5 MVA of
# panels lower the three-phase fault level of their bus from 4,419 A to 4,190, and at night, when no voltage rises with them, to 4,131.
# With the right sign it would be 4,712 at night. The stronger the inverter, the weaker the grid: at %R=0 %X=20
# it is 3,333 A in the dark, not 5,534. A Generator of that size, or an inverter's impedance put in as a Reactor to a
# Vsource, raises it. Zsc1 of the bus is wrong in the same way. So breakers are sized, and the strength of
# a bus for a datacenter is told, below what they are without the panels. Nothing is reported. Exits 0 while this is so.
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
GRID = 12.47**2 / 200 * (1 + 4j) / abs(1 + 4j) + 0.3 + 0.8j  # 200 MVA at an X/R of 4, and the line
VOLTS = 12470 / 3**0.5


def fault_amps(*lines):
    """Amperes of a three-phase fault at the line's end, and the positive-sequence impedance there, the same in both engines."""
    circuit = (
        "Clear",
        "New Circuit.c basekv=12.47 bus1=s mvasc3=200 mvasc1=200",
        "New Line.head bus1=s bus2=a r1=0.3 x1=0.8 r0=0.9 x0=2 c1=0 c0=0 length=1",
        *lines,
        "Solve",
        "Solve mode=faultstudy",
    )
    for line in circuit:
        epri.text(line)
        opendssdirect.Text.Command(line)
    opendssdirect.Circuit.SetActiveBus("a")
    epri.circuit.set_active_bus("a")
    found = [(round(abs(complex(*bus[0][:2]))), complex(*bus[1])) for bus in (
        (opendssdirect.Bus.Isc(), opendssdirect.Bus.Zsc1()), (epri.bus.isc, epri.bus.zsc1)
    )]
    assert found[0][0] == found[1][0] and abs(found[0][1] - found[1][1]) < 1e-6, found
    return found[0]


PANELS = "New PVSystem.p bus1=a kv=12.47 kva=5000 pmpp=5000 "
NIGHT = " irradiance=0.00001"
# The same impedance as a source of its own behind it, as any text book has it.
APART = ("New Vsource.v bus1=e basekv=12.47 mvasc3=1000000 mvasc1=1000000", "New Reactor.z bus1=e bus2=a r={} x={}")
base = 12.47**2 / 5
print("grid alone:", fault_amps()[0], "A, by hand", round(VOLTS / abs(GRID)))
assert fault_amps()[0] == round(VOLTS / abs(GRID)) == 4419
sunny = fault_amps(PANELS)
assert sunny[0] == 4190, sunny
for words, r, x, amps, due in (("", 0.5, 0.5, 4131, 4712), ("%r=0 %x=20", 0.0, 0.2, 3333, 5534)):
    panels = complex(r, x) * base
    night = fault_amps(PANELS + words + NIGHT)
    wrong, right = 1 / (1 / GRID - 1 / panels), 1 / (1 / GRID + 1 / panels)
    apart = fault_amps(APART[0], APART[1].format(panels.real, panels.imag))
    print(f"panels {words}: {night[0]} A and {night[1]:.4f} ohm; by hand with minus {wrong:.4f},", end=" ")
    print(f"with plus {right:.4f} and {VOLTS / abs(right):.0f} A; as a source behind a reactor {apart[0]} A")
    assert night[0] == amps and abs(night[1] - wrong) < 0.001, (night, wrong)
    assert round(VOLTS / abs(right)) == due and abs(apart[0] - due) < 3, (right, apart)
generator = fault_amps("New Generator.g bus1=a kv=12.47 kva=5000 kw=0 xdp=0.27")
print("sunny", sunny[0], "generator", generator[0])
assert generator[0] > 5000, generator
PY
echo "as recorded"
