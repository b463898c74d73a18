"""Thresholds of tags: the rule, what is known of a piece, and the shipped file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qamdt.benchmarks.curation.facts import facts_as_stored
from qamdt.curate.captions.facts import INSTRUMENTS as HEARABLE
from qamdt.curate.captions.facts import Facts, describe, facts_of
from qamdt.curate.captions.facts_job import FactsJob, instrument_thresholds
from qamdt.curate.config import CaptionConfig, ModelsConfig
from qamdt.models.fetch import registry
from qamdt.models.tags.tagger import MusicnnTagger, read_thresholds
from qamdt.models.tags.tempo_key import KEYS
from qamdt.pipeline.dataset import Dataset
from qamdt.pipeline.job import output
from qamdt.recipes.clap.styles import INSTRUMENTS, STYLES
from qamdt.recipes.common.figures import ratio_figure
from qamdt.recipes.tags import truth
from qamdt.recipes.tags.calibrate import (
    MIN_ABOVE,
    Labelled,
    least_thresholds,
    sigmoid,
    stable_threshold,
)
from qamdt.recipes.tags.data import Row, from_cache, to_cache
from qamdt.recipes.tags.evaluate import key_score, tempo_right
from qamdt.schemas.errors import ConfigError, ModelError
from qamdt.schemas.tables import Clap, Tags


def row(**known: object) -> Row:
    return Row("test", "a", np.zeros(92, np.float32), {}, **known)  # type: ignore[arg-type]


# --- the rule ----------------------------------------------------------------------------------


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=60),
    st.sampled_from((0.5, 0.7, 0.9)),
)
def test_the_least_threshold_keeps_its_promise(clips: list[tuple[int, bool]], bar: float) -> None:
    """At the threshold the precision is reached, and at no lower probability that occurs."""
    p, fits = np.array([c[0] for c in clips]) / 20, np.array([c[1] for c in clips])
    of = Labelled(p, fits, np.arange(len(p)).astype(str))
    (found,) = least_thresholds(of, np.ones((1, len(p)), int), bar)

    def reached(limit: float) -> bool:
        said = p >= limit
        return bool(said.sum() >= MIN_ABOVE and fits[said].mean() >= bar)

    assert np.isinf(found) or reached(found)
    assert not any(reached(limit) for limit in p if limit < found)


def test_a_word_that_means_nothing_gets_no_threshold() -> None:
    rng = np.random.default_rng(0)
    of = Labelled(rng.random(200), rng.random(200) < 0.2, np.arange(200).astype(str))
    assert stable_threshold(of, rng) is None
    sure = Labelled(of.p, of.p > 0.6, of.group)
    assert stable_threshold(sure, rng) == pytest.approx(0.5, abs=0.1)  # .7 of those above fit


def test_the_sigmoid_undoes_a_bias() -> None:
    """Probabilities that are too low by a fixed logit come out as the share that fits."""
    rng = np.random.default_rng(0)
    true = rng.random(4000)
    of = Labelled(
        true / (true + 9 * (1 - true)), rng.random(4000) < true, np.arange(4000).astype(str)
    )
    slope, offset = sigmoid(of)
    assert slope == pytest.approx(1, abs=0.1) and offset == pytest.approx(np.log(9), abs=0.2)


# --- what is known -----------------------------------------------------------------------------


def test_every_name_in_the_truth_exists() -> None:
    names = set(MusicnnTagger().names)
    told = set(truth.METAL + truth.NOT_METAL + truth.NOT_ELECTRONIC)
    assert told | set(truth.VOICES + truth.NO_VOICES) <= names
    assert set(truth.INSTRUMENTS) | set(truth.GENRES) <= names
    sounds = {s for pair in truth.INSTRUMENTS.values() for part in pair for s in part}
    assert sounds <= set(INSTRUMENTS)
    for style in STYLES:
        truth.of_piece("flute", (), "", 90.0, style)  # raises for an unknown style


def test_truth_says_yes_no_and_nothing() -> None:
    known = truth.of_piece("viola", ("piano",), "rock", 76.0, "chamber")
    assert known["piano"] and known["strings"] and known["drums"] and known["slow"]
    assert known["flute"] is False and known["fast"] is False and known["classical"]
    assert "violin" not in known and "instrumental" not in known
    assert truth.of_track("fretsonfire-songs-muldjord", "x/guitar.ogg")["guitar"]
    assert truth.of_track("hyperrogue-music", "x/y.ogg") == {}


def test_tempo_and_key_are_scored_as_published() -> None:
    heard = {"tempo_bpm": 121.0, "key": "A minor"}
    piece = Row("test", "a", np.zeros(0), heard, bpm=60.0, key="C major")
    assert tempo_right(piece, (1.0,)) == 0 and tempo_right(piece, (1.0, 2.0)) == 1
    scores = {k: key_score(Row("", "", np.zeros(0), heard, bpm=1.0, key=k), False) for k in KEYS}
    assert {k: v for k, v in scores.items() if v} == {
        "A minor": 1.0, "E minor": 0.5, "D minor": 0.5, "C major": 0.3, "A major": 0.2,
    }  # fmt: skip
    assert key_score(piece, True) == 0 and key_score(row(), True) is None


def test_a_row_of_the_cache_is_read_as_it_was_written() -> None:
    """The cache names the estimates of tempo and key `heard`, as it always did."""
    first = Row("test", "a", np.array([0.25, 0.5], np.float32), {"key": "A minor"}, bpm=60.0)
    stored = json.loads(json.dumps(to_cache(first)))
    assert stored["heard"] == {"key": "A minor"} and "tonal" not in stored
    again = from_cache(stored)
    assert np.array_equal(again.probabilities, first.probabilities)
    assert (again.tonal, again.bpm, again.name) == (first.tonal, 60.0, "a")


def test_a_ratio_has_its_interval() -> None:
    found = ratio_figure(
        [(str(i % 20), float(i % 4 == 0), 1.0) for i in range(200)], "share", "test"
    )
    assert found["value"] == 0.25 and found["low"] <= 0.25 <= found["high"] and found["n"] == 200


# --- the shipped file --------------------------------------------------------------------------


def test_the_shipped_thresholds_are_the_taggers() -> None:
    tagger = MusicnnTagger()
    words = json.loads(registry.path("tags-mini").read_text())
    assert words["about"]["tagger"] == tagger.model_id
    assert set(words["words"]) == set(tagger.names)
    never = {name for name, word in words["words"].items() if word["threshold"] is None}
    assert set(tagger.thresholds) == set(tagger.names) - never
    assert all(words["words"][name]["calibrated"] for name in never)  # nothing else is silenced


@pytest.mark.parametrize("wrong", ["{", '{"words": {}}', '{"words": {"rock": {"threshold": 2}}}'])
def test_a_file_that_is_no_table_of_thresholds(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "t.json").write_text(wrong)
    with pytest.raises(ModelError, match=r"t\.json"):
        read_thresholds(tmp_path / "t.json", ("rock",))


# --- facts -------------------------------------------------------------------------------------


def test_a_word_counts_from_its_own_limit() -> None:
    heard = {"guitar": 0.3, "piano": 0.5, "flute": 0.2, "no vocals": 0.08, "vocals": 0.05}
    limits = {"guitar": 0.1, "piano": 0.4, "no vocals": 0.07, "vocals": 0.06}
    facts = facts_of(heard, limits)
    assert facts.instruments == ("guitar", "piano")  # the clearer one first; the flute never
    assert facts.vocals is False
    assert facts_of(heard, {}) == Facts()


def test_one_word_for_the_rhythm_stands_last() -> None:
    heard = {"beat": 0.9, "drums": 0.8, "piano": 0.4, "guitar": 0.3, "flute": 0.2}
    assert describe(facts_of(heard, 0.1)) == "Music with piano, guitar and drums."


def test_only_tags_that_are_kept_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The score station keeps twenty: a word below them is not heard, whatever its limit."""
    names = MusicnnTagger().names
    p = np.linspace(1, 0.1, len(names)).astype(np.float32)
    clip = Row("test", "a", p, {})
    assert facts_as_stored(clip, names, 0.05).words == set(names[:20])


def test_thresholds_belong_to_the_tagger_that_made_the_tags(ingested: Dataset) -> None:
    """Another tagger's rows are not read by the embedded tagger's thresholds, unless told to."""
    for cls, model in ((Clap, "any"), (Tags, "another")):
        out = output(ingested, cls, 1, {}, ["clips"], model, "0")
        ingested.adopt(out.table, out.fingerprint, out.about)
    models = ModelsConfig()
    with pytest.raises(ConfigError, match=r"tags .* are of another.*--min-tag"):
        FactsJob(ingested, CaptionConfig(), models, None)
    flat = FactsJob(ingested, CaptionConfig(min_tag=0.1), models, None)
    assert flat.limits == 0.1
    flatter = FactsJob(ingested, CaptionConfig(min_tag=0.2), models, None)
    assert flat.outputs[0].fingerprint != flatter.outputs[0].fingerprint


def test_an_instrument_is_said_where_it_is_sure() -> None:
    """Its limit is where the calibrated probability is `sure`, and never below the tagger's own."""
    tagger = MusicnnTagger()
    sure = instrument_thresholds(tagger.thresholds, tagger.sigmoids, 0.9)
    assert instrument_thresholds(tagger.thresholds, tagger.sigmoids, None) == dict(
        tagger.thresholds
    )
    assert sure["rock"] == tagger.thresholds["rock"], "of instruments alone"
    slope, offset = tagger.sigmoids["drums"]
    logit = np.log(sure["drums"] / (1 - sure["drums"]))
    assert 1 / (1 + np.exp(-(slope * logit + offset))) == pytest.approx(0.9)
    for word in set(sure) & set(HEARABLE):
        assert sure[word] >= tagger.thresholds[word]
    assert instrument_thresholds({"organ": 0.5}, {}, 0.9) == (
        {} if "organ" in HEARABLE else {"organ": 0.5}
    )
