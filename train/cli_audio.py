"""Commands of `qamdt-train` between sound and latents: latents, generate, codec-eval."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..pipeline.dataset import Dataset
from ..pipeline.stage import Call
from ..schemas import flags
from ..schemas.errors import ConfigError
from .cli_options import with_config
from .config import Config

JUDGE = "p-MOS model: embedded-16k (what the codec speaks), embedded, wav2vec2@FOLDER"


def add_to(app: typer.Typer) -> None:
    """Put the commands into the app."""
    app.command()(latents)
    app.command()(generate)
    app.command(name="codec-eval")(codec_eval)
    app.command()(page)


@with_config("models", "prompt", "latents", "run")
def latents(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="curated dataset folder")],
    config: Config,
    limit: Annotated[int | None, typer.Option(min=0, help="at most so many clips")] = None,
    measure_scale: Annotated[
        bool, typer.Option("--measure-scale", help="measure the scale anew, for all latents")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done")] = False,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="try error rows again")
    ] = False,
    quiet: flags.QUIET = False,
) -> None:
    """Encode every kept clip and every prompt of a dataset folder; can be stopped and run again."""
    from .data.latents_stage import make_latents

    dataset = Dataset(folder)
    call = Call(limit, dry_run, retry_errors, quiet, typer.echo)
    with dataset.lock():
        make_latents(dataset, config, call, measure_scale)


@with_config("models", "generate", "sample")
def generate(
    weights: Annotated[
        Path, typer.Argument(metavar="RUN", help="run folder, checkpoint folder or .safetensors")
    ],
    config: Config,
    out: Annotated[
        Path | None, typer.Option(help="folder of the sounds [dim]\\[RUN/samples][/dim]")
    ] = None,
    prompt: Annotated[
        list[str] | None, typer.Option(help="what it should sound like; may be given again")
    ] = None,
    prompts: Annotated[
        Path | None, typer.Option(help="file of prompts: a line each, or .jsonl")
    ] = None,
    quality: Annotated[
        list[float] | None,
        typer.Option(help="level 1..5, 4.5 is between; may be given again [dim]\\[5][/dim]"),
    ] = None,
    seed: Annotated[int, typer.Option(help="seed of the first candidate of each prompt")] = 0,
    init: Annotated[Path | None, typer.Option(help="a sound to vary, with --strength")] = None,
) -> None:
    """Make sounds of prompts, wav or flac, each with all that made it in its tags."""
    from .generate.generate import generate as write_sounds
    from .generate.generate import read_prompts
    from .generate.pipeline import Prompt

    levels = quality or [5.0]
    every = [Prompt(text, level, seed) for text in prompt or [] for level in levels]
    for level in levels:
        every += read_prompts(prompts, level, seed) if prompts else []
    folder = out or (weights if weights.is_dir() else weights.parent) / "samples"
    write_sounds(weights, folder, every, config, init, typer.echo)


@with_config("models")
def codec_eval(
    source: Annotated[Path, typer.Argument(metavar="AUDIO", help="file or folder of audio")],
    config: Config,
    seconds: Annotated[float, typer.Option(help="of each file, from its middle")] = 10.24,
    limit: Annotated[int, typer.Option(min=1, help="at most so many files")] = 20,
    judge: Annotated[str, typer.Option("--pmos", help=JUDGE)] = "embedded-16k",
) -> None:
    """Measure what of your own music survives the codec."""
    from ..models.pmos.base import KINDS
    from ..models.ref import resolve
    from .codec.center_crop import middles
    from .codec.evaluate import round_trip, summary
    from .codec.kinds import open_codec

    codec = open_codec(config.models.codec, config.models.device)
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
    out: Annotated[
        Path | None, typer.Option(help="the file [dim]\\[SOUNDS/index.html][/dim]")
    ] = None,
    judge: Annotated[str, typer.Option("--pmos", help=JUDGE)] = "embedded-16k",
) -> None:
    """Write one HTML file that plays generated sounds beside their spectrograms and p-MOS."""
    from ..models.pmos.base import KINDS
    from ..models.ref import resolve
    from .generate.page import write_page

    typer.echo(write_page(folder, resolve(judge, KINDS), out))
