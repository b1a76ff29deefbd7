"""Words on the user's own power traces, which replace what was measured: their unit, and the peak that was read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from g2g_opt.datacenter.workloads.inference import trace_peak_w
from g2g_opt.errors import InputError, listed
from g2g_opt.kept_files import copy_or_self
from studies.shared.conclusion import Conclusion

_TRACES = "traces/"
_NAMED_MAX = 6


def with_trace_note(conclusion: Conclusion, inputs: Mapping[str, str]) -> Conclusion:
    """A conclusion that also says what was read from the traces among its `inputs` (paths by the names of a report)."""
    words = [
        f"{name.removeprefix(_TRACES)} {_peak_words(Path(path))}"
        for name, path in sorted(inputs.items())
        if name.startswith(_TRACES)
    ]
    if not words:
        return conclusion
    told = f"models draw the power of these traces, read in W of all GPUs of a replica: {listed(words, _NAMED_MAX)}"
    return replace(conclusion, warnings=(*conclusion.warnings, told))


def _peak_words(path: Path) -> str:
    try:
        return f"up to {trace_peak_w(copy_or_self(path)):,.6g} W"
    except InputError:
        # A model that is served by it would have failed every run.
        return "cannot be read, and nothing was read from it"
