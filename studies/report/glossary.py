"""Words and units of reports, each explained once, here; a page gets those that stand on it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A word or unit: what it is called, what it means, and by which pattern it is found in a text."""

    word: str
    meaning: str
    pattern: str = ""

    def stands_in(self, text: str) -> bool:
        """Whether a text uses it; units by their very letters, words in any case of their first letter."""
        pattern = self.pattern or rf"(?<![\w-]){re.escape(self.word)}(?![\w-])"
        return re.search(pattern, text) is not None


def _word(*forms: str) -> str:
    """A pattern of whole words, with a capital or without."""
    return r"(?<![\w-])(?:" + "|".join(f"[{form[0].upper()}{form[0]}]{form[1:]}" for form in forms) + r")(?![\w-])"


TERMS = (
    # ---- units
    Term("pu", "per unit: a voltage as a share of the base voltage of its bus, a loading as a share of its rating"),
    Term("pu s", "a voltage's distance from its limit, summed over bus-phases and added up over seconds", r"pu s\b"),
    Term("pu h", "as pu s, over hours", r"pu h\b"),
    Term("kW", "kilowatt, real power; consumption is positive, generation negative"),
    Term("MW", "megawatt, real power; consumption is positive, generation negative"),
    Term("MWh", "megawatt hour of energy"),
    Term("GWh", "gigawatt hour of energy, 1000 MWh"),
    Term("$", "US dollars", r"(?<!\w)\$(?![\w{])"),
    # ---- the network
    Term("bus-phase", "one phase of one bus, written bus.phase: 671.C", r"[Bb]us-phases?\b|bus and phase"),
    Term("own load", "what the circuit's own customers draw, without any site", _word("own loads?")),
    Term("tap", "step of a voltage regulator; its ratio in pu raises or lowers what lies behind it", _word("taps?")),
    Term(
        "normal rating", "current or power that a branch may carry for any time", _word("normal ratings?", "of normal")
    ),
    Term("emergency rating", "what it may carry for a short time", _word("emergency ratings?", "emergency loading")),
    Term(
        "loading",
        "current or power through a branch as a share of its rating: 1 is all of it",
        _word("loading", "loadings"),
    ),
    Term("undervoltage", "a voltage below the lowest that is allowed", _word("undervoltage")),
    Term("overvoltage", "a voltage above the highest that is allowed", _word("overvoltage")),
    Term("band", "voltages from the lowest to the highest that is allowed", _word("band")),
    Term(
        "time share",
        "share of the run in which the limit is broken somewhere",
        _word("time share", "share of time", "share of the time"),
    ),
    Term(
        "integral violation",
        "how far voltages were outside the band, summed over bus-phases and the time of the run",
        _word("integral violation", "integral voltage violation"),
    ),
    Term(
        "linear model", "voltages as a straight line of powers, for the search only: what it predicts is simulated",
        _word("linear model", "linear program"),
    ),
    # ---- the site
    Term("site", "a datacenter at a bus, or at several", _word("sites?")),
    Term("replica", "one running copy of a model, on as many GPUs as it was measured on", _word("replicas?")),
    Term("batch size", "requests that a replica works on at once; more give more tokens and draw more power",
         _word("batch sizes?", "nominal batch")),
    Term("tokens", "pieces of text that the models put out: what a site serves", _word("tokens")),
    Term(
        "throughput share",
        "tokens served as a share of what the same fleet serves when nobody controls it",
        _word("throughput share", "tokens share", "share of uncontrolled"),
    ),
    Term("latency misses", "share of samples in which a request took longer than its target", _word("latency misses")),
    Term("fleet MW", "what the same fleet would draw at its peak if nobody controlled it", r"\bfleet MW\b"),
    Term("peak MW", "highest power of the site at any step of the run", r"\b(?:peak MW|MW at its peak)\b"),
    Term("mean MW", "power of the site averaged over the run", r"\bmean MW\b"),
    Term(
        "firm",
        "without flexible operation: batch sizes stay as they are, on the intact feeder; it does not mean N-1",
        _word("firm"),
    ),
    Term("N-1", "with any one element of the network out of service; not studied here unless a page says so"),
    Term("flexible", "with a controller that lowers and raises batch sizes by what it measures", _word("flexible")),
    Term("curtailed", "held below what could be: batch sizes below nominal, or a plant below what the sun gives",
         _word("curtailed", "curtailment")),
    Term("ofo", "online feedback optimisation: a controller that steps along measured slopes of voltage and power",
         r"\b(?:ofo|OFO)\b"),
    Term("droop", "a controller whose batch sizes follow the worst voltage violation", _word("droop")),
    Term("contextual policy", "batch sizes or shifts computed from what is known ahead, such as load and sun; it reads "
         "no voltage", _word("contextual policy", "contextual")),
    Term("clairvoyant", "what a policy could do that knew the whole run ahead: a bound, not a proposal",
         _word("clairvoyant")),
    # ---- the study
    Term("binds", "is the first limit that the next larger size breaks", _word("binds?", "binding")),
    Term("scenario", "what a planner does not decide: demand on the site, sun and own load", _word("scenarios?")),
    Term("placement", "one choice of buses for all sites", _word("placements?")),
    Term("finalist", "one of the best on the batch engine, run again on OpenDSS", _word("finalists?")),
    Term("batch engine", "the power flow of this program, which runs many plans at once; its answers are run again on "
         "OpenDSS", _word("batch engine")),
    Term("OpenDSS", "the reference power flow of distribution networks"),
    Term("lower bound", "least share of all scenarios that keeps the limits, by the exact binomial (Clopper-Pearson)",
         _word("lower bounds?")),
    Term("gap", "how far a plan may be from the best one, as a share of cost", r"\bgap (?:of )?[\d.]+ %|no bound"),
    # ---- coordination
    Term("alpha", "latency loss that datacenters accept: 0.25 is a quarter more"),
    Term("eps", "bound on the sum of the absolute coefficients of a policy: a larger one fits closer to its records"),
    Term("penetration", "datacenters' load as a share of the peak load", _word("penetration")),
    Term("ideal coordination", "the grid operator and the datacenters decide as one: what is saved at most",
         _word("ideal coordination", "ideally coordinated", "ideal saving", "of the ideal")),
    Term("record", "one hour of the grid's history that a policy is trained or judged on", r"\brecords?\b"),
)  # fmt: skip


def terms_on(texts: Iterable[str]) -> list[Term]:
    """The terms that stand in any of the texts, in the order of the glossary."""
    text = "\n".join(texts)
    return [term for term in TERMS if term.stands_in(text)]
