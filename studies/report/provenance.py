"""What a report's numbers come from: the code, the question, the inputs, the machine, and how its tasks went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

# States in which nothing more will be done for a task; a split task lives on in its parts, a dropped one was replaced.
SETTLED_STATES = frozenset({"done", "failed", "split", "dropped"})


@dataclass(frozen=True)
class Provenance:
    """What it takes to get the same numbers again.

    `versions` are those of Python and of the packages the numbers depend on; `code_version` is that of this program;
    `question_toml` is the study as it was asked, defaults included; `input_hashes` are SHA-256 digests by file name;
    `engines` says in words which engine simulated what, `circuit` in which state, and with which constants and edits,
    the circuit was studied; `seconds` is the time from start to finish, pauses left out.
    """

    code_version: str
    versions: Mapping[str, str]
    question_toml: str
    command: str
    seed: int | None
    input_hashes: Mapping[str, str]
    hosts: tuple[str, ...]
    started: datetime
    finished: datetime
    seconds: float
    engines: tuple[str, ...] = ()
    circuit: tuple[str, ...] = ()


@dataclass(frozen=True)
class FailedTask:
    """A task without a result: what it was, why it failed, and how often it was tried."""

    label: str
    reason: str
    attempts: int = 1


@dataclass(frozen=True)
class TaskStates:
    """How the tasks of a study stand: counts by state, those that failed, and the code versions of their results."""

    counts: Mapping[str, int]
    failed: tuple[FailedTask, ...] = ()
    code_versions: tuple[str, ...] = field(default=())

    @property
    def total(self) -> int:
        """Number of tasks in all states."""
        return sum(self.counts.values())

    @property
    def unsettled(self) -> dict[str, int]:
        """Counts of the states in which a task still waits for its result."""
        return {state: n for state, n in self.counts.items() if n and state not in SETTLED_STATES}

    @property
    def versions_mixed(self) -> bool:
        """Whether the results come from different versions of the code."""
        return len(set(self.code_versions)) > 1
