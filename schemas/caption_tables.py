"""The tables of captions: facts, candidates, what was measured of them, the selection.

facts, generated      caption
texts                 caches of refine: their states depend on a model alone, so that a row is
answers               made once, whatever other parameters become
matches, checks       refine: numbers, and what they mean
captions              refine: the choice
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from .arrow import col, key, table
from .rows import F32, ModelRow, Row


@table("facts", 1, station="caption", order=31, in_funnel=True)
@dataclass(frozen=True, kw_only=True)
class Fact(Row):
    """What the scores tell of a clip, as facts, and of its file. Caption writes, refine reads.

    Lists are in order, the clearest first. A fact that was not clear enough is not there.
    """

    genres: list[str] | None = col("genres; of the file's own genre tag, where it has one")
    instruments: list[str] | None = col("instruments that are there with high probability")
    moods: list[str] | None = col("moods")
    vocals: bool | None = col("true and false where there surely are voices, or none")
    voice: str | None = col("female or male")
    tempo_bpm: float | None = col("tempo, where it is clear", unit="BPM", arrow=F32)
    tempo_sure: bool | None = col("whether the tempo may be said in BPM")
    key: str | None = col("key, where it is clear")
    loudness_lufs: float | None = col("integrated loudness (BS.1770)", unit="LUFS", arrow=F32)
    file_sentence: str | None = col("the facts of the file as a sentence")
    file_heard: list[str] | None = col("every tag that counts in the file")
    file_vocals: bool | None = col("voices in the file")


@table("generated", 1, station="caption", order=32, in_funnel=True)
@dataclass(frozen=True, kw_only=True)
class Generated(ModelRow):
    """The generated caption of each clip; empty text where no fact was clear. Caption
    writes, refine reads."""

    generated: str | None = col("the generated caption")
    prompt_sha256: str | None = col("hash of the prompt file, of a captioner that has one")


@table("texts", 1, station="refine", keys=("text",), order=41)
@dataclass(frozen=True, kw_only=True)
class Text:
    """Each different text that is a caption or might become one. Its state depends on the
    audio-text model and the token counter alone, so no text is read twice. Refine writes and reads.
    """

    text: str = key("the text; unique in the table")
    embedding: list[float] | None = col("unit vector", unit="[dim]", arrow=pa.list_(F32))
    guards: list[str] | None = col("guards that speak against it, whoever wrote it")
    words: int | None = col("words")
    tokens: int | None = col("tokens of T5, end token counted; see curate/guards/tokens.py")


@table("matches", 1, station="refine", order=42)
@dataclass(frozen=True, kw_only=True)
class Match(Row):
    """How audio, original and generated caption fit, in numbers. Refine writes, SQL reads.

    others: originals of other files, the same for every clip (`curate/captions/similarity.py`).
    """

    sim_original: float | None = col("audio and original", unit="-1..1", arrow=F32)
    sim_generated: float | None = col("audio and generated caption", unit="-1..1", arrow=F32)
    sim_texts: float | None = col("original and generated caption", unit="-1..1", arrow=F32)
    others_mean: float | None = col("mean similarity to others' captions", arrow=F32)
    others_deviation: float | None = col("its standard deviation", arrow=F32)
    others: int | None = col("captions of others compared with")
    match_model: str | None = col("the model that measured")


@table("checks", 1, station="refine", order=43)
@dataclass(frozen=True, kw_only=True)
class Check(Row):
    """What the numbers of `matches` mean by the thresholds. Refine writes (SQL).

    action: keep (the original), take (the generated), better (the nearer one), merge (ask the LLM).
    """

    believed: bool | None = col("whether the original is believed to speak of this audio")
    original_problem: str | None = col("why not")
    generated_kept: bool | None = col("whether the generated caption passed rho1 and its guards")
    generated_problem: str | None = col("why not")
    z_original: float | None = col(
        "original against captions of others, mean over the file", unit="standard deviations"
    )
    action: str | None = col("keep, take, better, merge, or none")
    rho1: float | None = col("least similarity of a generated caption", unit="-1..1")
    rho2: float | None = col("similarity of texts from which nothing is merged", unit="-1..1")
    believe: float | None = col("least similarity of an original", unit="-1..1")


@table("answers", 1, station="refine", keys=("request",), order=44)
@dataclass(frozen=True, kw_only=True)
class LlmAnswer:
    """What the LLM answered, a row a request. Its state depends on the LLM alone: the same prompt
    is never asked twice. Refine writes and reads."""

    request: str = key("hash of prompt, schema, limit of tokens and number of candidates")
    status: str = "ok"
    error_type: str | None = None
    error_message: str | None = None
    prompt: str | None = col("what was asked")
    prompt_sha256: str | None = col("hash of the prompt file")
    answers: list[str] | None = col("the answers as they came")
    captions: list[str] | None = col("the caption of each answer that could be read")
    facts: list[str] | None = col("facts that the first answer says it used")
    model_id: str | None = col("the LLM")
    weights: str | None = col("digest of its weights")


@table(
    "captions",
    2,
    station="refine",
    keys=("clip_id", "request"),
    order=45,
    in_full=True,
    in_funnel=True,
)
@dataclass(frozen=True, kw_only=True)
class Caption(Row):
    """The final caption of each clip and what it was chosen from. Refine writes."""

    refined_caption: str | None = col("the final caption")
    caption_from: str | None = col("original, generated or merged")
    caption_reason: str | None = col("why that one")
    caption_doubt: str | None = col("why even the final caption may be wrong; null: no doubt")
    generated: str | None = col("the generated caption")
    merged: str | None = col("the LLM's best text, whether taken or not")
    guards: list[str] | None = col("guards that a text tripped, as 'merged: refusal'")
    sim_original: float | None = col("audio-text similarity", unit="-1..1", arrow=F32)
    sim_generated: float | None = col("audio-text similarity", unit="-1..1", arrow=F32)
    sim_merged: float | None = col("audio-text similarity", unit="-1..1", arrow=F32)
    sim_final: float | None = col("audio-text similarity", unit="-1..1", arrow=F32)
    tokens: int | None = col("tokens of the final caption for T5, as in `texts`")
    match_model: str | None = col("the model that measured the similarities")
    captioner: str | None = col("what generated")
    llm_model: str | None = col("the model that merged")
    prompt_sha256: str | None = col("hash of the merge prompt and its schema")
    request: str | None = col("its row of `answers`, where the LLM was asked")
