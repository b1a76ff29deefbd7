"""A communication study on real input: its tasks one after the other, on a short run."""

from __future__ import annotations

from typing import Any

from study_run import results_of

from studies.catalogue import make_question
from studies.communication.feeder_tasks import CAPACITIES, RUNS, UNDER_ALL
from studies.shared.task import TaskResult


def done(**given: Any) -> tuple[Any, tuple[TaskResult, ...]]:
    question: Any = make_question("communication", given)
    question.check()
    results = results_of(question)
    return question, results


def test_a_feeder_from_its_question_to_the_headline() -> None:
    question, results = done(
        buses=["671"],
        transports=["udp"],
        losses=[0.5],
        delays_s=[2.0],
        stale_rules=["hold", "silence"],
        fail_safes=["safe"],
        outages_s=[30.0],
        n_draws=1,
        power_max_mw=1.0,
        policy={"channels": "ideal:age=5,silence=10"},
        scenario={"duration_s": 60, "replica_ramps": [[20, 40, 1.0]], "replica_share_start": 0.4},
    )
    found = [row for result in results for row in result.rows(CAPACITIES)]
    assert [(row["operation"], row["outage_s"], row["loss"]) for row in found] == [
        ("firm", 0.0, 0.0),
        ("flexible", 0.0, 0.0),
        ("flexible", 30.0, 0.0),
        ("flexible", 0.0, 0.5),
    ]
    # So small a site keeps the voltages whatever happens: every search ends at its end, on both engines.
    assert len({row["n_servers"] for row in found}) == 1
    assert all(abs(row["opendss_peak_mw"] - row["power_peak_mw"]) < 1e-6 for row in found)
    # Neither does any other limit stop it.
    under_all = [row for result in results for row in result.rows(UNDER_ALL)]
    assert [(row["operation"], row["n_servers"]) for row in under_all] == [
        (operation, found[0]["n_servers"]) for operation in ("firm", "flexible")
    ]
    perfect, outage, lossy = (row["voltage_age_s"] for row in found[1:])
    assert perfect == 0.0
    # 30 of 60 s without news, up to 30 s old.
    assert 30.0 * 31.0 / 2.0 / 60.0 - 0.6 < outage < 30.0 * 31.0 / 2.0 / 60.0 + 0.6
    assert 2.0 < lossy < 5.0
    runs = [row for result in results for row in result.rows(RUNS)]
    assert len(runs) == 1 + 2 + 1
    assert all(row["kept"] and row["n_servers"] == found[0]["n_servers"] for row in runs)
    conclusion = question.conclude(results)
    assert "nothing that a link could lose: what stops larger sites is the end of the search" in conclusion.answer


def test_clients_from_their_question_to_the_figures() -> None:
    given = {"case": "five-clients", "transports": ["tcp"], "losses": [0.0, 0.6], "n_draws": 2, "n_rows": 120}
    question, results = done(**given, rules=["careful"], allocators=["opf"])
    conclusion = question.conclude(results)
    assert conclusion.feeder == ""
    clean, lossy = conclusion.tables[0].rows
    assert clean["violation_beyond_share_pct"] < 5.0
    assert lossy["mean_age_s"] > 5.0 > 0.6 > clean["mean_age_s"] > 0.4
    (change,) = conclusion.tables[1].rows
    assert change["lost_points"] > 1.0
    assert conclusion.warnings == ()
    # The same task again gives the same rows.
    (task,) = [one.task for one in results if one.task.content.get("loss") == 0.6]
    again = question.run(task, lambda share, words: None)["client_runs"]
    assert list(again) == [row for one in results if one.task == task for row in one.rows("client_runs")]
