"""What every command of `g2g` is for, in the order of its help; light, so that help need not wait for libraries."""

from __future__ import annotations

# What each study answers, then the commands that go on with studies and the others.
COMMAND_HELP = {
    "ai-choices": "what do model, precision, parallelism and GPU mean for a feeder, and how many tokens can a bus host",
    "check": "may a site of so many MW be connected at this bus, and if not, what would let it in",
    "communication": "how many of the flexible MW are left when messages are late, lost or gone",
    "controllers": "how do controllers of batch sizes compare in the same scenarios",
    "coordination": "what do shifts of tasks between datacenters save a grid operator, and is a policy of them safe",
    "feeder-policy": "what does a policy of batch sizes gain on a feeder, next to droop, OFO and a clairvoyant",
    "hosting-capacity": "how many MW can each bus host, firm and with flexible operation",
    "load-profile": "how many MW can a bus host in each hour of each month, over a year",
    "location": "where should sites go",
    "portfolio": "one question over every feeder of a folder, with buses ranked over all of them",
    "queue": "which of these requests are granted, firm, flexible or limited, in order of arrival",
    "scenarios": "which scenarios of a study case are worth training controllers on and testing them with",
    "siting": "where do PV plants and datacenters go, and how large, at the least yearly cost",
    "run": "run the study in a TOML file",
    "resume": "go on with a study that was stopped",
    "retry": "try failed tasks of a study again",
    "status": "how far a study is, and what failed",
    "report": "write the report of a study again, under other limits if wished",
    "schema": "JSON schema of a study's TOML file",
    "live": "nodes on real sockets, and clusters that run: hardware in the loop",
    "models": "list the measured inference workloads",
    "feeder": "describe a feeder: its base case without a site, what is judged, what it lacks for studies",
}
