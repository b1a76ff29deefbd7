"""A line on every command, for a list of them that is shown without importing what they need."""

from __future__ import annotations

# What each study answers; its options are read from the study's own `arguments` module.
STUDY_HELP = {
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
    "ppo-training": "how good is a policy of batch sizes that was trained by proximal policy optimisation",
    "queue": "which of these requests are granted, firm, flexible or limited, in order of arrival",
    "scenarios": "which scenarios of a study case are worth training controllers on and testing them with",
    "siting": "where do PV plants and datacenters go, and how large, at the least yearly cost",
}

# What other commands that have to do with studies do.
COMMAND_HELP = {
    "run": "run the study in a TOML file",
    "resume": "go on with a study that was stopped",
    "retry": "try failed tasks of a study again",
    "status": "how far a study is, and what failed",
    "report": "write the report of a study again, under other limits if wished",
    "schema": "JSON schema of a study's TOML file",
}

# In the place of a command's name: all of them get their options.
EVERY = "*"
# What the help of a command that has no options to speak of ends with.
COMMAND_EXAMPLE = {
    "resume": "Example: g2g resume results/hosting_capacity",
    "retry": "Example: g2g retry results/hosting_capacity --failed",
    "status": "Example: g2g status results/hosting_capacity",
    "schema": "Example: g2g schema hosting-capacity > hosting_capacity.schema.json",
    "models": "Example: g2g models --gpu H100 --precision fp8",
}
