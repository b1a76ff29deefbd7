"""What a circuit's commands state that a study takes otherwise than whoever wrote them may think, in words."""

from __future__ import annotations

from collections.abc import Sequence

from g2g_opt.circuit.script_file.described_elements import described
from g2g_opt.circuit.script_file.tokens import Parameter
from g2g_opt.errors import listed

_RATED = ("line", "linecode", "linegeometry", "transformer", "xfmrcode", "wiredata", "cndata", "tsdata")
_SHOWN = 8


def otherwise_notes(commands: Sequence[str]) -> tuple[str, ...]:
    """A sentence on ratings by season, which judge nothing."""
    notes = []
    seasonal = {
        name: None
        for name, given in described(commands)
        if name.partition(".")[0] in _RATED and any(_by_season(one) for one in given)
    }
    if seasonal:
        notes.append(
            "ratings by season (seasons, ratings) judge nothing here, and in OpenDSS some of its reports alone: what "
            f"judges is normamps, or the kVA of a transformer, whatever the season: {listed(list(seasonal), _SHOWN)}"
        )
    return tuple(notes)


def _by_season(stated: Parameter) -> bool:
    """Whether a property states more than one season: OpenDSS saves each line with the one rating that it has."""
    values = stated.value.replace(",", " ").split()
    return (stated.word == "seasons" and values != ["1"]) or (stated.word == "ratings" and len(values) > 1)
