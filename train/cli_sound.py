"""Commands of `qamdt-train` between sound and latents: latents, generate, codec-eval, page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from ..schemas.call import Call
from ..schemas.commands import CommandLine, closing
from ..schemas.errors import ConfigError
from ..schemas.flags import commas
from .audio_config import AudioConfig
from .cli_app import Run, with_sound_config

JUDGE = "p-MOS model: embedded-16k (what the codec speaks), embedded, wav2vec2@FOLDER"


def add_to(app: CommandLine) -> None:
    """Register the commands."""
    app.register(log="folder")(latents)
    app.register(log=_sounds_folder)(generate)
    app.register()(codec_eval)
    app.register()(page)


def _sounds_folder(given: Mapping[str, Any]) -> Path:
    """Where `generate` writes: --out, or `samples` beside the weights."""
    out, weights = given["out"], given["weights"]
    return out or (weights if weights.is_dir() else weights.parent) / "samples"


@with_sound_config("models", "latents", "run", call=("limit", "dry_run", "retry_errors"))
def latents(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="curated dataset folder")],
    config: AudioConfig,
    call: Call,
    measure_scale: Annotated[
        bool, typer.Option("--measure-scale", help="measure the scale anew, for all latents")
    ] = False,
) -> None:
    """Encode every kept clip and every prompt of a dataset folder; can be stopped and run again."""
    from ..pipeline.dataset import Dataset
    from .data.latents_stage import make_latents

    dataset = Dataset(folder)
    with dataset.lock():
        make_latents(dataset, config, call, measure_scale)
    if not call.dry_run:
        closing([], [["qamdt-train", "fit", folder, folder.parent / "run", "--size", "nano"]])


@with_sound_config("models", "make", "sample")
def generate(
    weights: Run,
    config: AudioConfig,
    out: Annotated[
        Path | None, typer.Option(help="folder of the sounds; default: RUN/samples")
    ] = None,
    prompt: Annotated[
        list[str] | None, typer.Option(help="what it should sound like; may be given again")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="file of prompts: a line each, or .jsonl")
    ] = None,
    quality: Annotated[
        list[str] | None,
        typer.Option(
            help="level 1..5, 4.5 is between; commas between; default: 5", callback=commas(float)
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="seed of the first candidate of each prompt")] = 0,
    init: Annotated[Path | None, typer.Option(help="a sound to vary, with --strength")] = None,
) -> None:
    """Make sounds of prompts, wav or flac, each with all that made it in its tags."""
    from .generate.generate import make_sounds, read_prompts
    from .generate.pipeline import Prompt

    levels = [float(level) for level in quality or ["5"]]
    every = [Prompt(text, level, seed) for text in prompt or [] for level in levels]
    for level in levels:
        every += read_prompts(prompts, level, seed) if prompts else []
    folder = _sounds_folder({"out": out, "weights": weights})
    make_sounds(weights, folder, every, config, init, typer.echo)
    closing(
        [(folder, "the sounds, and samples.jsonl with what made them")],
        [
            ["qamdt-train", "page", folder],
            [
                "qamdt-evaluate",
                "run",
                folder,
                "--out",
                f"{folder}-eval",
                "--metrics",
                "is,clap,pmos",
            ],
        ],
    )


@with_sound_config("models")
def codec_eval(
    source: Annotated[Path, typer.Argument(metavar="AUDIO", help="file or folder of audio")],
    config: AudioConfig,
    seconds: Annotated[float, typer.Option(help="of each file, from its middle")] = 10.24,
    limit: Annotated[int, typer.Option(min=1, help="at most so many files")] = 20,
    judge: Annotated[str, typer.Option("--pmos", help=JUDGE)] = "embedded-16k",
) -> None:
    """Measure what of your own music survives the codec."""
    from ..models.pmos.kinds import KINDS
    from ..models.ref import pick_device, resolve
    from .check import open_model
    from .codec.center_crop import middles
    from .codec.evaluate import round_trip, summary

    codec = open_model(config.models, "codec", device=pick_device(config.models.device))
    pmos, trips = resolve(judge, KINDS), []
    for name, wave in middles(source, seconds, limit):
        trip = round_trip(codec, wave, name, pmos)
        trips.append(trip)
        typer.echo(
            f"{name[-44:]:44} mel L1 {trip.mel_l1:.3f}  stft {trip.stft:.2f} (true mel "
            f"{trip.stft_mel:.2f})  p-MOS {trip.pmos:.2f} (true mel {trip.pmos_mel:.2f}, wave "
            f"{trip.pmos_wave:.2f})"
        )
    if not trips:
        raise ConfigError(f"{source}: no audio that can be read")
    for label, value in summary(trips).items():
        typer.echo(f"{label:12} {value:.4f}")


def page(
    folder: Annotated[Path, typer.Argument(metavar="SOUNDS", help="folder made by generate")],
    out: Annotated[Path | None, typer.Option(help="the file; default: SOUNDS/index.html")] = None,
    judge: Annotated[str, typer.Option("--pmos", help=JUDGE)] = "embedded-16k",
) -> None:
    """Write one HTML file that plays generated sounds beside their spectrograms and p-MOS."""
    from ..models.pmos.kinds import KINDS
    from ..models.ref import resolve
    from .generate.page import write_page

    typer.echo(write_page(folder, resolve(judge, KINDS), out))
