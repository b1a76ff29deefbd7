"""What a circuit's commands state that a study takes otherwise than whoever wrote them may think, in words."""

from __future__ import annotations

from collections.abc import Sequence

from g2g_opt.circuit.script_file.described_elements import described
from g2g_opt.errors import listed

_RATED = ("line", "linecode", "linegeometry", "transformer", "xfmrcode", "wiredata", "cndata", "tsdata")
_BY_SEASON = ("seasons", "ratings")
_POSITIVE_SEQUENCE = "makeposseq"
_SHOWN = 8


def otherwise_notes(commands: Sequence[str]) -> tuple[str, ...]:
    """A sentence on ratings by season, which judge nothing, and one on a circuit turned into its positive sequence."""
    notes = []
    seasonal = {
        name: None
        for name, given in described(commands)
        if name.partition(".")[0] in _RATED and any(one.word in _BY_SEASON for one in given)
    }
    if seasonal:
        notes.append(
            "ratings by season (seasons, ratings) judge nothing here, and in OpenDSS some of its reports alone: what "
            f"judges is normamps, or the kVA of a transformer, whatever the season: {listed(list(seasonal), _SHOWN)}"
        )
    if any(command.split(maxsplit=1)[0].lower() == _POSITIVE_SEQUENCE for command in commands if command.strip()):
        notes.append(
            "the file turns its circuit into its positive sequence (MakePosSeq): OpenDSS counts a generator or storage "
            "on one phase three times and takes a load between two phases at another voltage; without that line the "
            "circuit is studied as it is"
        )
    return tuple(notes)
