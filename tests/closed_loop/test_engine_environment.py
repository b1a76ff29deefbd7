"""The engine reads the environment of the process in every new thread; Python may change it meanwhile."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import os, threading
os.environ["BEFORE_THE_ENGINE"] = "1"
from g2g_opt.feeder import Feeder
from g2g_opt.circuit.opendss_circuit import Circuit
feeder = Feeder.load("ieee13")
for k in range(300):
    os.environ[f"AFTER_THE_ENGINE_{k}"] = "x" * 50
blocks = [bytearray(b"U" * 4096) for _ in range(2000)]
solved = []

def work():
    circuit = Circuit(list(feeder.commands))
    circuit.finish()
    solved.append(len(circuit.buses))

for _ in range(4):
    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
assert solved == [len(feeder.buses)] * 8, solved
assert os.environ["AFTER_THE_ENGINE_299"] and os.getenv("BEFORE_THE_ENGINE") == "1"
assert os.popen("echo $AFTER_THE_ENGINE_7").read().strip() == "x" * 50
"""


def test_threads_make_circuits_after_the_environment_has_changed() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
