"""The README.md of a fine-tuned scorer: what it is, what it was taught, how well it hears."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

NAMES = {
    "pearson": "Pearson", "spearman": "Spearman", "kendall": "Kendall tau-b", "rmse": "RMSE, MOS",
    "rmse_of_mean": "RMSE of the mean label",
}  # fmt: skip

HEAD = """---
library_name: transformers
pipeline_tag: audio-classification
tags: [music, audio-quality, p-mos]
---

# {name}: a p-MOS scorer

Predicts the mean opinion score, nominally 1 (bad) to 5 (excellent), that the listeners of its labels
would give a sound. The output is neither scaled nor clamped. Use it with

    qamdt-curate run MUSIC DIR --pmos wav2vec2@FOLDER

where FOLDER is this folder, or open it with transformers (`AutoModelForAudioClassification`, one
output) and do as "What it hears" says.

## What it hears

{hears}

## What it was taught

{taught}

## How well it hears

95% intervals from resampling groups (albums, artists or sources; files where none are given).

{figures}

"RMSE of the mean label" is the error of saying the mean of train to every sound.

Mean label where the model says so ({split}):

{calibration}

## Settings

{settings}

## Limits

It repeats the taste and the listening conditions of its labels and knows no other music. Scores are
comparable with each other, not with those of another scorer: mu and sigma of a data set have to
come from this scorer's own scores. The scores of train are of sounds it has learned: only test says
what to expect, and dev a little too much, as it chose the epoch.
"""


def card(name: str, record: Mapping[str, Any]) -> str:
    """The text of README.md from the content of qamdt.json."""
    return HEAD.format(
        name=name,
        hears=_hears(record["hearing"]),
        taught=_taught(record),
        figures=markdown(*figure_rows(record["figures"])),
        split=record["calibration"]["split"],
        calibration=markdown(*calibration_table(record)),
        settings=markdown(
            ["setting", "value"],
            [[k, "" if v is None else str(v)] for k, v in record["settings"].items()],
        ),
    )


def figure_rows(figures: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """(heads, rows) of the table of figures: a row a measure, a column a split."""
    splits = [s for s in ("train", "dev", "test") if f"{s}_rmse" in figures]
    heads = ["", *(f"{s} (n {figures[f'{s}_rmse']['n']})" for s in splits)]
    rows = [
        [label, *(_shown(figures[f"{s}_{name}"]) for s in splits)] for name, label in NAMES.items()
    ]
    return heads, rows


def calibration_table(record: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """(heads, rows) of the calibration: a row a bin of scores."""
    heads = ["score", "n", "mean score", "mean label", "deviation of labels"]
    return heads, [
        [f"{row['from_']:g} to {row['to']:g}", f"{row['n']:g}"]
        + [f"{row[k]:.2f}" for k in ("score", "mos", "spread")]
        for row in record["calibration"]["rows"]
    ]


def _shown(figure: Mapping[str, Any]) -> str:
    if figure["value"] is None:
        return "not measurable"
    between = "" if figure["low"] is None else f" [{figure['low']:.3f}, {figure['high']:.3f}]"
    return f"{figure['value']:.3f}{between}"


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _hears(front_end: Mapping[str, Any]) -> str:
    steps = [f"the mean of all channels at {front_end['rate_hz']} Hz"]
    if front_end["loudness_lufs"] is not None:
        steps.append(
            f"by a gain brought to {front_end['loudness_lufs']:g} LUFS (EBU R128, over the whole sound)"
        )
    steps.append(
        f"sounds longer than {front_end['window_s']:g} s in equal windows, whose scores are averaged"
    )
    if front_end["normalise"]:
        steps.append("each window brought to mean 0 and variance 1")
    return "\n".join(f"{k}. {step}" for k, step in enumerate(steps, 1))


def _taught(record: Mapping[str, Any]) -> str:
    labels, training = record["labels"], record["training"]
    lines = [
        f"- start: the {record['init']['model_type']} checkpoint `{record['init']['name']}`"
        f" (sha256 {record['made_from']['init'][:16]})",
        f"- labels: `{labels['file']}` (sha256 {record['made_from']['labels'][:16]}):"
        f" {labels['rows']} rows = {labels['ok']} ok + {labels['error']} error; {labels['sounds']}"
        f" sounds in {labels['groups']} groups; mean {labels['mean']}, deviation"
        f" {labels['deviation']}",
        "- splits, never through a group: "
        + ", ".join(
            f"{name} {part['sounds']} sounds of {part['groups']} groups"
            for name, part in sorted(record["splits"].items(), reverse=True)
        ),
        f"- training: best epoch {training['best_epoch']} of {training['epochs']},"
        f" {training['steps']} steps",
    ]
    if labels["spread"] is not None:
        lines.append(
            f"- opinions on one sound deviate by {labels['spread']} on average; the standard error of"
            f" a label is {labels['label_error']}: no scorer's RMSE can be much lower"
        )
    if record["same_audio"]:
        lines.append(
            f"- **{record['same_audio']} sounds of dev and test have the very samples of a sound of"
            " train**: the figures are too good; give copies one group"
        )
    return "\n".join(lines)
