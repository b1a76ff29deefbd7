"""What happened in a live run, counted: every kind of trouble has a name and words."""

from __future__ import annotations

from collections import Counter
from typing import Final

# Names of what is counted, in the order they are told in, and what each means.
WORDS: Final[dict[str, str]] = {
    "reports": "reports taken",
    "allocations": "allocations taken by nodes",
    "acknowledged": "allocations acknowledged by nodes",
    "joined": "nodes that joined",
    "rejoined": "nodes that joined again",
    "left": "nodes that said goodbye",
    "lost": "nodes not heard of for too long",
    "allocator_lost": "times that a node did not hear of its allocator for too long",
    "connected": "connections made",
    "disconnected": "connections that ended",
    "refused_connection": "connections that nobody answered",
    "idle_closed": "connections closed: nothing valid came in time",
    "too_many": "joins or connections refused: as many nodes as may be",
    "malformed": "messages refused: not the format",
    "oversized": "messages refused: too long",
    "unsigned": "messages refused: not signed",
    "forged": "messages refused: signed with another key",
    "replayed": "messages refused: seen before",
    "other_session": "messages refused: of a session that is over, or of a node that has not joined",
    "late": "messages overtaken by newer ones",
    "queue_full": "messages dropped by their sender: its queue was full",
    "kernel_full": "datagrams dropped by the system: the receiver's queue was full",
    "unsent": "messages that the system did not take",
    "clock_jumps": "jumps of a machine's clock (s since 1970), which no timer follows",
    "from_the_future": "messages sent later than they arrived, by the clocks of their machines",
    "rule_failed": "times that the rule had no allocation; the last one holds",
    "rule_late": "periods without an allocation: the rule was still computing",
    "record_full": "rows or events that the record did not keep",
    "relay_dropped": "datagrams dropped by the relay",
    "relay_passed": "datagrams or pieces of a stream passed on by the relay",
}
REFUSALS: Final = ("malformed", "oversized", "unsigned", "forged", "replayed", "other_session")


class LiveTally(Counter[str]):
    """Counts by the names of `WORDS`."""

    @property
    def n_refused(self) -> int:
        """Messages that were refused, for whatever reason."""
        return sum(self[why] for why in REFUSALS)

    def told(self) -> list[tuple[str, int]]:
        """Words and count of everything that happened at all, in order."""
        return [(words, self[name]) for name, words in WORDS.items() if self[name]]
