"""`AIChoice`: a model, its precision, parallelism and GPU, as one of a comparison; the published comparisons."""

from __future__ import annotations

from dataclasses import replace

from g2g_opt.datacenter.config import InferenceModelSpec
from g2g_opt.datacenter.workloads.measurements import measured_spec, short_name
from g2g_opt.errors import InputError
from g2g_opt.quantities import Count, LatencyS
from g2g_opt.reading import plain_digits
from studies.shared.question_model import question_model

CHOICE_SYNTAX = "COMPARISON=MODEL@GPU:TASK:PRECISION:GPUS_PER_REPLICA:TARGET_MS"
_MS = 1e3


@question_model
class AIChoice:
    """A measured configuration with its latency target (s), one of a `comparison`.

    With `sized_as_first` it has as many replicas as the first of its comparison instead of a fleet of equal peak.
    """

    comparison: str
    model: str
    gpu: str
    task: str
    precision: str
    gpus_per_replica: Count
    itl_deadline_s: LatencyS
    sized_as_first: bool = False

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return f"{short_name(self.model)} {self.precision} {self.gpus_per_replica}x{self.gpu}"

    def spec(self) -> InferenceModelSpec:
        """The measured configuration; `InputError` if there is none, or no batch size meets the target."""
        return measured_spec(
            self.model,
            self.gpu,
            self.task,
            self.precision,
            self.gpus_per_replica,
            itl_deadline_s=self.itl_deadline_s,
            model_label=self.name,
        )

    @staticmethod
    def parse(text: str) -> AIChoice:
        """Of `CHOICE_SYNTAX`, e.g. "mine=qwen3-8b@B200:lm-arena-chat:bfloat16:1:50"; `InputError` otherwise."""
        comparison, sign, rest = text.partition("=")
        model, at, figures = rest.partition("@")
        parts = figures.split(":")
        if (
            not (sign and at and comparison and model)
            or len(parts) != 5
            or not (parts[3].isascii() and parts[3].isdecimal())
        ):
            raise InputError(f"choice {text!r} cannot be read; write {CHOICE_SYNTAX}")
        try:
            target_s = float(plain_digits(parts[4])) / _MS
        except ValueError as error:
            raise InputError(f"choice {text!r}: {parts[4]!r} is no latency target in ms") from error
        return AIChoice(comparison, model, parts[0], parts[1], parts[2], int(parts[3]), target_s)


def _chosen(comparison: str, model: str, gpu: str, task: str, precision: str, gpus: int, target_ms: int) -> AIChoice:
    return AIChoice(comparison, model, gpu, task, precision, gpus, target_ms / _MS)


_CHAT, _REASON = "lm-arena-chat", "gpqa"
_QWEN_8B, _QWEN_32B, _QWEN_30B = "Qwen/Qwen3-8B", "Qwen/Qwen3-32B", "Qwen/Qwen3-30B-A3B-Instruct-2507"
_INSTRUCT, _THINKING = "Qwen/Qwen3-235B-A22B-Instruct-2507", "Qwen/Qwen3-235B-A22B-Thinking-2507"
_OSS = "openai/gpt-oss-120b"
_SIZE_B200, _SIZE_H100 = "model size on B200", "model size on H100"

# OpenG2G paper: figure 5, appendix G, figure 6 and appendix H (8-bit siblings run as many replicas), figure 7 and
# appendix I, figure 8; targets in ms.
PUBLISHED_CHOICES = (
    _chosen(_SIZE_B200, _QWEN_8B, "B200", _CHAT, "bfloat16", 1, 50),
    _chosen(_SIZE_B200, _QWEN_32B, "B200", _CHAT, "bfloat16", 1, 50),
    _chosen(_SIZE_B200, _QWEN_30B, "B200", _CHAT, "bfloat16", 1, 50),
    _chosen(_SIZE_B200, _OSS, "B200", _REASON, "mxfp4", 2, 50),
    _chosen(_SIZE_B200, _INSTRUCT, "B200", _CHAT, "bfloat16", 8, 100),
    _chosen(_SIZE_H100, _QWEN_8B, "H100", _CHAT, "bfloat16", 1, 50),
    _chosen(_SIZE_H100, _QWEN_32B, "H100", _CHAT, "bfloat16", 1, 50),
    _chosen(_SIZE_H100, _OSS, "H100", _REASON, "mxfp4", 2, 50),
    _chosen(_SIZE_H100, _INSTRUCT, "H100", _CHAT, "bfloat16", 8, 100),
    _chosen(_SIZE_H100, "meta-llama/Llama-3.1-70B-Instruct", "H100", _CHAT, "bfloat16", 4, 100),
    _chosen(_SIZE_H100, "meta-llama/Llama-3.1-405B-Instruct-FP8", "H100", _CHAT, "fp8", 8, 120),
    *(
        replace(_chosen(words, model, gpu, task, precision, gpus, 100), sized_as_first=precision == "fp8")
        for words, model, gpu, task, gpus in (
            ("precision, Instruct on 8 H100", _INSTRUCT, "H100", _CHAT, 8),
            ("precision, Thinking on 8 H100", _THINKING, "H100", _REASON, 8),
            ("precision, Thinking on 4 B200", _THINKING, "B200", _REASON, 4),
        )
        for precision, model in (("bfloat16", model), ("fp8", f"{model}-FP8"))
    ),
    *(
        _chosen(f"parallelism, {words}", model, gpu, task, precision, gpus, target_ms)
        for words, model, gpu, task, precision, both, target_ms in (
            ("gpt-oss on B200", _OSS, "B200", _REASON, "mxfp4", (1, 2), 50),
            ("Thinking on B200", _THINKING, "B200", _REASON, "bfloat16", (4, 8), 100),
            ("30B on H100", _QWEN_30B, "H100", _CHAT, "bfloat16", (1, 2), 100),
        )
        for gpus in both
    ),
    *(
        _chosen(f"GPU, {words}", model, gpu, _CHAT, "bfloat16", 1, 50)
        for words, model in (("Qwen3-8B", _QWEN_8B), ("Qwen3-32B", _QWEN_32B))
        for gpu in ("H100", "B200")
    ),
)
