"""Caption, check, merge, choice: on a small set whose truth is known, with a real text model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from caption_builders import TRUE, chat_server, scored, with_key
from conftest import QUIET

from qamdt.benchmarks.curation.compare_datasets import compare
from qamdt.curate import stations
from qamdt.curate.config import Config
from qamdt.pipeline.dataset import Dataset
from qamdt.pipeline.stage import Call
from qamdt.pipeline.views import connect
from qamdt.schemas.errors import ConfigError

WRONG, EMPTY, NONE, GARBLED, GERMAN = 15, 14, 13, 12, 11
SAID: dict[int, str | None] = {
    WRONG: "a brass band playing a march", EMPTY: "", NONE: None, GARBLED: "%%$$ @@!! ab",
    GERMAN: "Ein ruhiges Stück für Orgel und eine Stimme",
}  # fmt: skip


def refine(dataset: Dataset, llm: str = "none", call: Call = QUIET, **settings: Any) -> None:
    config = Config().override("refine", settings).override("models", {"llm": llm})
    with dataset.lock():
        stations.caption(dataset, config, call)
        stations.refine(dataset, config, call)


def rows(dataset: Dataset, sql: str) -> list[tuple]:
    with connect(dataset) as con:
        return con.execute(sql).fetchall()


def final(dataset: Dataset) -> dict[int, dict[str, Any]]:
    """number of the file -> its row of `captions`."""
    with connect(dataset) as con:
        found = con.execute("SELECT path, k.* FROM captions k JOIN clips USING (clip_id)")
        names = [column[0] for column in found.description]
        dicts = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    return {int(Path(d["path"]).stem): d for d in dicts}


def merged_by_server(prompt: str, seed: int) -> str:
    original = re.search(r"Caption: (.*)", prompt).group(1)  # type: ignore[union-attr]
    facts = ["fast"] if "piano" not in original else ["fast", "piano"]
    text = with_key(original) if not seed else f"{original}, fast."
    return json.dumps({"facts": facts, "caption": text})


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Refined without an LLM; tests read it, or copy what they change."""
    dataset = scored(tmp_path_factory.mktemp("plain"), SAID, errors=(10,))
    refine(dataset)
    return dataset


def test_every_clip_has_a_row_and_errors_say_why(plain: Dataset) -> None:
    for table in ("facts", "generated", "matches", "checks", "captions"):
        got = rows(plain, f"SELECT count(*), count_if(status = 'error') FROM {table}")
        assert got == [(len(TRUE), 1)], table
    assert final(plain)[10]["error_message"] == "not heard"


def test_right_captions_stay_and_others_are_replaced_for_a_reason(plain: Dataset) -> None:
    made = final(plain)
    for k in range(10):
        assert made[k]["refined_caption"] == TRUE[k] and made[k]["caption_doubt"] is None
    reasons = {k: made[k]["caption_reason"] for k in (EMPTY, NONE, GARBLED)}
    assert reasons == {
        EMPTY: "original: empty", NONE: "original: missing", GARBLED: "original: garbled",
    }  # fmt: skip
    assert made[GERMAN]["caption_from"] == "generated" or (
        made[GERMAN]["caption_doubt"] == "wrong_language"
    ), "it is replaced where similarity does not fall; else there is a doubt"
    for k in (EMPTY, NONE, GARBLED):
        assert made[k]["caption_from"] == "generated"
    assert made[GARBLED]["guards"] == ["original: garbled"]


def test_a_wrong_caption_fits_no_better_than_strangers(plain: Dataset) -> None:
    """Whatever its similarity, and without a label; it is replaced, or there is a doubt."""
    (row,) = rows(
        plain,
        "SELECT k.believed, k.z_original, m.others FROM checks k JOIN matches m USING (clip_id)"
        f" JOIN clips USING (clip_id) WHERE caption = '{SAID[WRONG]}'",
    )
    assert row[0] is False and row[1] < 0.8 and row[2] >= 12
    made = final(plain)[WRONG]
    assert made["caption_from"] == "generated" or made["caption_doubt"]
    assert made["sim_final"] >= made["sim_original"]


def test_similarity_falls_only_where_the_original_cannot_be_read(plain: Dataset) -> None:
    for row in final(plain).values():
        if row["sim_original"] is not None and row["caption_reason"] != "original: garbled":
            assert row["sim_final"] >= row["sim_original"]


def test_facts_are_columns_and_instruments_are_sure(plain: Dataset) -> None:
    (fact,) = rows(plain, "SELECT DISTINCT genres, instruments, key, tempo_bpm FROM facts"
                          " WHERE status = 'ok'")  # fmt: skip
    assert fact == (["metal"], ["drums"], "C major", 150.0), "a guitar at .2 is not sure"


def test_thresholds_are_values_or_quantiles(plain: Dataset) -> None:
    refine(plain, rho1="q0.5", min_original_similarity="q0")
    (rho1, kept, n) = rows(
        plain, "SELECT any_value(rho1), count_if(generated_kept), count(*) FROM checks"
               " WHERE status = 'ok'")[0]  # fmt: skip
    half = rows(plain, "SELECT quantile_cont(sim_generated, 0.5) FROM matches")[0][0]
    assert rho1 == half and kept == -(-n // 2)
    refine(plain)
    for wrong in ("q2", "high", "7"):
        with pytest.raises(ConfigError, match="rho1"):
            Config().override("refine", {"rho1": wrong})


def test_a_new_threshold_runs_no_model_and_asks_nothing(tmp_path: Path) -> None:
    """Texts and answers are caches by what made them; only what follows is made again."""
    dataset = scored(tmp_path, SAID)
    with chat_server(merged_by_server) as (llm, asked):
        refine(dataset, llm)
        first, before = final(dataset), len(asked)
        assert before > 0 and len(set(asked)) == before, "each prompt once"
        caches = sorted(
            p for t in ("texts", "answers") for p in dataset.root.glob(f"{t}/*/*.parq*")
        )
        refine(dataset, llm, rho2="0.9", margin=0.1, min_original_similarity="-1")
        refine(dataset, llm)
        assert len(asked) == before and final(dataset) == first
        now = sorted(p for t in ("texts", "answers") for p in dataset.root.glob(f"{t}/*/*.parq*"))
        assert now[: len(caches)] == caches or set(caches) <= set(now)
        refine(dataset, llm, llm_max_tokens=50)
        assert len(asked) == 2 * before, "another limit of tokens is another question"


def test_merged_texts_keep_the_facts_apart_and_never_lower_similarity(tmp_path: Path) -> None:
    dataset = scored(tmp_path, {})
    with chat_server(merged_by_server) as (llm, _):
        refine(dataset, llm, rho2="1", candidates=2)
    made = final(dataset)
    assert any(row["caption_from"] == "merged" for row in made.values())
    for row in made.values():
        assert row["sim_final"] >= row["sim_original"]
        if row["caption_from"] == "merged":
            assert row["refined_caption"] == row["merged"] and len(row["prompt_sha256"]) == 64
    answers = rows(dataset, "SELECT facts, captions, prompt_sha256 FROM answers")
    assert all("fast" in facts and len(captions) == 2 for facts, captions, _ in answers)


def test_answers_that_fail_are_rows_and_tried_again_on_demand(tmp_path: Path) -> None:
    dataset = scored(tmp_path, {})
    with chat_server(lambda prompt, seed: None) as (llm, asked):
        refine(dataset, llm, rho2="1")
        n = len(asked)
        assert all(row["caption_from"] == "original" for row in final(dataset).values())
        assert rows(dataset, "SELECT count(*) FROM answers WHERE status = 'error'") == [(n,)]
        assert any("refused" in g for row in final(dataset).values() for g in row["guards"])
        refine(dataset, llm, rho2="1")
        assert len(asked) == n, "an error is an answer, too"
    with chat_server(merged_by_server) as (again, _):
        address = Config().override("models", {"llm": again})
        assert address.models.llm != llm, "another port, the same model: the same answers"
        refine(dataset, again, Call(quiet=True, retry_errors=True, log=lambda line: None), rho2="1")
    assert rows(dataset, "SELECT count(*) FROM answers WHERE status = 'error'") == [(0,)]
    assert any(row["caption_from"] == "merged" for row in final(dataset).values())


def test_one_sentence_for_many_originals_is_taken_for_none(tmp_path: Path) -> None:
    """`near_duplicate`: seen in the set alone."""
    dataset = scored(tmp_path, {})
    same = json.dumps({"facts": [], "caption": "A fast piece of metal music with drums."})
    with chat_server(lambda prompt, seed: same) as (llm, _):
        refine(dataset, llm, rho2="1")
    found = [row for row in final(dataset).values() if row["merged"]]
    assert found and all("merged: near_duplicate" in row["guards"] for row in found)
    assert all(row["caption_from"] == "original" for row in found)


def test_stopped_and_resumed_is_as_never_stopped(tmp_path: Path) -> None:
    whole, parts = scored(tmp_path / "a", SAID), scored(tmp_path / "b", SAID)
    with chat_server(merged_by_server) as (llm, _):
        refine(whole, llm)
        for limit in (3, 9, None):
            refine(parts, llm, Call(limit, quiet=True, log=lambda line: None))
    ours, theirs = final(whole), final(parts)
    for k in ours:
        same = {c: v for c, v in ours[k].items() if c not in ("path", "clip_id")}
        assert same == {c: v for c, v in theirs[k].items() if c not in ("path", "clip_id")}


def test_captions_that_come_with_the_data(tmp_path: Path) -> None:
    dataset = scored(tmp_path, SAID)
    config = Config().override("models", {"captioner": "column@lp", "llm": "none"})
    with dataset.lock():
        stations.caption(dataset, config, QUIET)
        stations.refine(dataset, config, QUIET)
    assert final(dataset)[WRONG]["refined_caption"] == f"This is {TRUE[WRONG]}."
    assert final(dataset)[EMPTY]["captioner"] == "column:lp"
    with pytest.raises(ConfigError, match="column@other"), dataset.lock():
        other = Config().override("models", {"captioner": "column@other"})
        stations.caption(dataset, other, QUIET)


def test_an_audio_captioner_hears_each_clip_once(tmp_path: Path) -> None:
    """One decode a clip, a row a clip; what the server refuses is that row's error."""
    dataset = scored(tmp_path, SAID)
    heard: list[str] = []

    def answer(content: Any, seed: int) -> str | None:
        heard.append(content[0]["input_audio"]["data"])
        return None if len(heard) == 1 else "A steady\n tone."

    with chat_server(answer) as (server, _):
        captioner = server.replace("openai@", "openai-audio@")
        config = Config().override("models", {"captioner": captioner})
        for _ in range(2):
            with dataset.lock():
                stations.caption(dataset, config, QUIET)
    assert len(heard) == len(set(heard)) == len(TRUE)
    made = rows(dataset, "SELECT status, generated, model_id, length(prompt_sha256) FROM generated"
                         " ORDER BY status")  # fmt: skip
    assert [row[0] for row in made] == ["error"] + ["ok"] * (len(TRUE) - 1)
    assert made[1][1:] == ("A steady tone.", "openai-audio:tiny", 64)


def test_ray_gives_the_same_captions(plain: Dataset, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(plain.root, tmp_path / "ray")
    copy = Dataset(tmp_path / "ray")
    for table in ("facts", "generated", "texts", "matches", "checks", "captions"):
        shutil.rmtree(copy.root / table)
    config = Config().override("models", {"llm": "none"}).override("run", {"workers": 1})
    refine(plain)
    with copy.lock():
        stations.caption(copy, config, QUIET)
        stations.refine(copy, config, QUIET)
    assert compare(plain, copy).none
