"""A circuit is compiled in a child process first, and known by what it follows from."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from circuit_files_written import read, write

from g2g_opt.circuit import overrun_buffers
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.overrun_buffers import raise_on_overrun
from g2g_opt.circuit.script_file import child
from g2g_opt.circuit.script_file.reading import circuit_inputs, read_circuit
from g2g_opt.consent import Consent, give_consent
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder

# --- in a child first


def test_what_opendss_refuses_is_named_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "parts.dss").write_text("! one\nNew Line.two bus1=mid bus2=end linecode=none_such\n")
    with pytest.raises(InputError, match=r"Master\.dss, at parts\.dss:2: OpenDSS refused .*none_such"):
        Feeder.from_dss(write(tmp_path, "Redirect parts.dss"))


def test_a_crash_a_hang_and_too_much_memory_are_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child that comes to grief is a stand-in: what matters is what this process makes of its end."""

    def ending(code: str) -> str:
        stand_in = tmp_path / "python"
        stand_in.write_text(f"#!/bin/sh\n{code}\n")
        stand_in.chmod(0o755)
        monkeypatch.setattr(child.sys, "executable", str(stand_in))
        with pytest.raises(InputError) as caught:
            child.compile_in_child(("Clear",), ("a:1",), Path("some.dss"))
        return str(caught.value)

    assert "crashed while it compiled the circuit (SIGSEGV)" in ending("kill -SEGV $$")
    assert "exit status 3): last words" in ending("echo last words >&2; exit 3")
    assert "GiB of memory" in ending("echo MemoryError >&2; exit 1")
    monkeypatch.setattr(child, "TIME_LIMIT_S", 0.3)
    assert "did not compile the circuit within 0.3 s" in ending("exec sleep 20")


@pytest.mark.parametrize(
    ("extra", "nodes", "element"),
    [
        ("New Storage.s bus1=lost kV=12.47", r"lost\.1, lost\.2, lost\.3", r"storage\.s"),
        ("New Load.k bus1=lost.2 phases=1 kV=7.2 kW=0", r"lost\.2", r"load\.k"),
        ("New Storage.s bus1=mid.1.2.3.4 kV=12.47", r"mid\.4", r"storage\.s"),
        (
            "New Line.side bus1=mid.3 bus2=side.3 phases=1\nNew Capacitor.k bus1=mid kV=12.47 kvar=50\n"
            "New CapControl.k capacitor=k element=line.side terminal=2",
            r"side\.2",
            r"capcontrol\.k",
        ),
        (
            "New Line.side bus1=mid.1 bus2=side.1 phases=1\nNew XYCurve.v npts=2 xarray=[0.5 1.5] yarray=[1 -1]\n"
            "New PVSystem.one bus1=side.1 phases=1 kV=7.2\nNew PVSystem.two bus1=mid kV=12.47\n"
            "New InvControl.k mode=voltvar vvc_curve1=v",
            r"side\.2, side\.3",
            r"name one of three phases first, .*: invcontrol\.k",
        ),
    ],
)
def test_nodes_that_nothing_connects_are_named(tmp_path: Path, extra: str, nodes: str, element: str) -> None:
    """OpenDSS says of these that it converged in 2 iterations; its voltages are what lay in memory, at every bus."""
    with pytest.raises(InputError, match=rf"Master\.dss: nothing connects the nodes {nodes}, so .*: {element}$"):
        Feeder.from_dss(write(tmp_path, extra))


@pytest.mark.parametrize(("seen", "is_refused"), [("element=line.one", True), ("element=line.one vbus=mid", False)])
def test_a_control_that_has_too_little_room_is_refused(
    monkeypatch: pytest.MonkeyPatch, seen: str, is_refused: bool
) -> None:
    """The circuit is harmless, as its bank has room for three voltages and more; it is taken for one that has less."""
    control = "CapControl.k capacitor=k type=time onsetting=1 offsetting=2 ptratio=60 voltoverride=yes"
    line = "New Line.one bus1=source bus2=mid length=1 units=km r1=0.3 x1=0.6"
    bank = "New Capacitor.k bus1=mid phases=3 kV=12.47 kvar=50"
    circuit = Circuit(["New Circuit.c basekv=12.47 bus1=source", line, bank, "MakeBusList", f"New {control} {seen}"])
    raise_on_overrun(circuit)
    conductors = overrun_buffers._conductors
    monkeypatch.setattr(
        overrun_buffers,
        "_conductors",
        lambda circuit, element: min(conductors(circuit, element), 1 if element == "capacitor.k" else 3),
    )
    refused = pytest.raises(InputError, match=r"capcontrol\.k .* 3 voltages .* room for the 2")
    with refused if is_refused else nullcontext():
        raise_on_overrun(circuit)


def test_a_bus_whose_name_opendss_cuts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Master\.dss: the bus name yyyy.* too long"):
        Feeder.from_dss(write(tmp_path, f"New Line.two bus1=mid bus2={'y' * 300}"))


def test_a_crash_is_told_with_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine crashes at some commands where nothing is solved yet; here a stand-in does, after the same notes."""
    stand_in = tmp_path / "python"
    stand_in.write_text("#!/bin/sh\nprintf '%20d' 1 >command\nkill -SEGV $$\n")
    stand_in.chmod(0o755)
    monkeypatch.setattr(child.sys, "executable", str(stand_in))
    with pytest.raises(InputError, match=r"some\.dss, at b:7: OpenDSS crashed"):
        child.compile_in_child(("Clear", "Clear"), ("a:1", "b:7"), Path("some.dss"))


def test_a_child_has_a_limit_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "MEMORY_LIMIT_GIB", 0.5)
    large = ("Clear", "New Circuit.c", "New Loadshape.s npts=200000000 interval=1 mult=(1 1)")
    with pytest.raises(InputError, match=r"some\.dss"):
        child.compile_in_child(large, ("a:1", "a:2", "a:3"), Path("some.dss"))


def test_one_circuit_is_compiled_in_a_child_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from g2g_opt.circuit.script_file import reading

    calls: list[Path] = []

    def counted(commands: tuple[str, ...], places: tuple[str, ...], source: Path) -> str:
        calls.append(source)
        return child.compile_in_child(commands, places, source)

    monkeypatch.setattr(reading, "compile_in_child", counted)
    master = write(tmp_path, "! once")
    for _ in range(3):
        Feeder.from_dss(master)
    assert len(calls) == 1
    write(tmp_path, "New Load.k bus1=mid kV=12.47 kW=1")
    Feeder.from_dss(master)
    assert len(calls) == 2


# --- what a result follows from


def test_two_files_of_one_name_names_with_blanks_and_data_are_inputs(tmp_path: Path) -> None:
    for part in ("north", "south"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "line data.dss").write_text(f"New Linecode.{part} nphases=3 r1=0.1 x1=0.2\n")
    (tmp_path / "shape.csv").write_text("0.5\n0.6\n")
    extra = (
        'Redirect "north/line data.dss"\nRedirect (south\\line data.dss)\n'
        "New Loadshape.s npts=2 interval=1 mult=(file=shape.csv)"
    )
    master = write(tmp_path, extra)
    before = dict(circuit_inputs(master))
    assert set(before) == {"Master.dss", "north/line data.dss", "south/line data.dss", "shape.csv"}
    for name in before:
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(text + "\n")
        after = circuit_inputs(master)
        assert {key for key in before if before[key] != after[key]} == {name}
        (tmp_path / name).write_text(text)
    assert dict(circuit_inputs(master)) == before


def test_the_digest_of_a_network_is_the_same_in_every_process(tmp_path: Path) -> None:
    """The engine writes matrices of capacitors and reactors that it never set."""
    extra = "New Capacitor.c bus1=mid kV=12.47 kvar=100\nNew Reactor.r bus1=mid bus2=end r=1 x=2"
    found = read(tmp_path, extra)

    def digest() -> str:
        return child.compile_in_child(found.commands, found.places, Path("some.dss"), with_digest=True)

    assert len({digest() for _ in range(3)}) == 1
    changed = tuple(command.replace("kvar=100", "kvar=101") for command in found.commands)
    assert child.compile_in_child(changed, found.places, Path("some.dss"), with_digest=True) != digest()


def test_a_trusted_circuit_is_known_by_the_network_it_compiles_to(tmp_path: Path) -> None:
    (tmp_path / "shape.csv").write_text("0.5\n0.6\n")
    master = write(tmp_path, "New Loadshape.s npts=2 interval=1 mult=(file=shape.csv)\nSummary")
    give_consent(Consent(circuits=True))
    try:
        before = circuit_inputs(master)
        assert list(before) == ["compiled network"]
        assert circuit_inputs(master) == before
        assert read_circuit(master).commands == (f'Compile "{master}"',)
        (tmp_path / "shape.csv").write_text("0.5\n0.7\n")
        changed = circuit_inputs(master)
        assert changed != before
        master.write_text(master.read_text().replace("length=2", "length=2.5"))
        assert circuit_inputs(master) not in (before, changed)
    finally:
        give_consent(Consent())
