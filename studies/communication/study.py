"""Communication: what coordination is worth when its messages are late, lost or gone (equations, section 10).

On a feeder, three stages: what a perfect link and no link at all make possible (`bounds`); what every lossy link and
every outage leaves of it (`capacities`); and the size of the perfect link run over all of them (`runs`). On a case of
clients, one: runs of an allocator over every link.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import ClassVar

from g2g_opt.allocation.clients import CLIENT_CASES
from g2g_opt.data_files import data_path
from g2g_opt.limits import Limits
from studies.communication.answer import feeder_conclusion
from studies.communication.client_answer import clients_conclusion
from studies.communication.client_runs import LOCAL_S, ClientStudy
from studies.communication.feeder_tasks import bound_tasks, capacity_tasks, run_task, run_tasks, split_task
from studies.communication.links import LinkState
from studies.communication.question import CommunicationQuestion
from studies.shared.conclusion import Conclusion
from studies.shared.input_files import files_under
from studies.shared.question_model import question_model
from studies.shared.task import Progress, Row, Tables, Task, TaskResult, counted
from studies.shared.typed_rows import to_rows

# Rounds of sizes in a search, and its run on OpenDSS, for progress.
_EXPECTED_ROUNDS = 10


@question_model
class CommunicationStudy(CommunicationQuestion):
    """A `CommunicationQuestion` that can be run."""

    study: ClassVar[str] = "communication"
    stages: ClassVar[tuple[str, ...]] = ("bounds", "capacities", "runs")
    rejudges: ClassVar[frozenset[str]] = frozenset()

    def input_files(self) -> Mapping[str, Path]:
        """Circuit, bundled data, the user's traces and hourly profile; or a case's circuit and curves."""
        if self.is_clients:
            circuit = files_under("feeder", data_path("feeders", CLIENT_CASES[self.case]))
            return circuit | files_under("clients", data_path("clients"))
        return super().input_files()

    def check(self) -> None:
        """Raise `InputError` for whatever can be wrong with the question, before a worker starts."""
        self.check_fields()
        if not self.is_clients:
            self.try_smallest_sites(replace(self.policy, channels=self.channels_of(self.perfect)))

    # --- tasks

    def tasks(self, stage: str, results: Sequence[TaskResult]) -> list[Task]:
        """Links of a stage."""
        if self.is_clients:
            return self._client_tasks() if stage == "bounds" else []
        match stage:
            case "bounds":
                return bound_tasks(self, self.resolve_buses(self.load_feeder()))
            case "capacities":
                return capacity_tasks(self, results)
            case _:
                return run_tasks(self, results)

    def _client_tasks(self) -> list[Task]:
        asked = product(self.allocators, self.rules, self.transports, self.losses)
        return [
            Task("client bounds", {}, "no control, and the optimum that knows everything", 1.0),
            *(
                Task(
                    "client runs",
                    {"allocator": allocator, "rules": rules, "transport": transport, "loss": loss},
                    f"{allocator}, {rules} rules, {transport}, loss {100 * loss:g} %",
                    float(self.draws),
                )
                for allocator, rules, transport, loss in asked
            ),
        ]

    def split(self, task: Task) -> list[Task]:
        """Halves of the searches or runs on a feeder; a link of clients is the smallest unit."""
        return [] if self.is_clients else split_task(task)

    def run(self, task: Task, progress: Progress) -> Tables:
        """Do a task, in a worker process."""
        if not self.is_clients:
            rounds = 1 if task.kind == "runs" else _EXPECTED_ROUNDS
            return run_task(self, task, counted(progress, float(rounds * len(task.content["wishes"]))))
        content = task.content
        clients = ClientStudy(self)
        if task.kind == "client bounds":
            tables: dict[str, list[Row]] = {
                "client_bounds": to_rows([clients.no_control()]),
                "client_ideal": [{"lost_share": clients.ideal_lost_share()}],
            }
        else:
            link = LinkState(content["transport"], content["loss"], LOCAL_S)
            report = counted(progress, self.draws)
            tables = {"client_runs": to_rows(clients.runs(content["allocator"], content["rules"], link, report))}
        return tables | {"client_checks": [{"excess_max_pu": clients.excess_max_pu}]}

    def conclude(self, results: Sequence[TaskResult], made_under: Limits | None = None) -> Conclusion:
        """The answer, from stored results alone; sizes were searched under their own limits."""
        if self.is_clients:
            return clients_conclusion(self, results)
        return feeder_conclusion(self, results)
