"""Commands of `qamdt-train` between sound and latents: latents, generate, codec-eval."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from ..pipeline.dataset import Dataset
from ..pipeline.stage import Call
from ..schemas import flags
from ..schemas.errors import ConfigError
from ..schemas.settings import from_toml, override, to_toml
from .audio_config import AudioConfig

JUDGE = "p-MOS model: embedded-16k (what the codec speaks), embedded, wav2vec2@FOLDER"


def with_sections(*sections: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate `command(..., config)` with the flags of sections of AudioConfig."""
    kinds = typing.get_type_hints(AudioConfig)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [p for p in signature.parameters.values() if p.name != "config"]

        @functools.wraps(command)
        def run(**given: Any) -> None:
            config = AudioConfig()
            for path in given["config_file"] or []:
                config = from_toml(path, config)
            for section in sections:
                names = flags.names_of(kinds[section])
                told = {k: given[k] for k in names if given[k] is not None}
                config = override(config, section, told)
            if given["show_config"]:
                typer.echo(to_toml(config), nl=False)
                return
            command(**{p.name: given[p.name] for p in own}, config=config)

        settings: dict[str, Any] = {}
        for section in sections:
            settings |= flags.flags_of(kinds[section])
        call = {"config_file": flags.CONFIG_FILE, "show_config": flags.SHOW_CONFIG}
        flags.add_flags(run, own, {**settings, **call})
        return run

    return decorate


def add_to(app: typer.Typer) -> None:
    """Put the commands into the app."""
    app.command()(latents)
    app.command()(generate)
    app.command(name="codec-eval")(codec_eval)
    app.command()(page)


@with_sections("models", "latents", "run")
def latents(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="curated dataset folder")],
    config: AudioConfig,
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


@with_sections("models", "make", "sample")
def generate(
    weights: Annotated[
        Path, typer.Argument(metavar="RUN", help="run folder, checkpoint folder or .safetensors")
    ],
    config: AudioConfig,
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
    from .generate.generate import make_sounds, read_prompts
    from .generate.pipeline import Prompt

    levels = quality or [5.0]
    wanted = [Prompt(text, level, seed) for text in prompt or [] for level in levels]
    for level in levels:
        wanted += read_prompts(prompts, level, seed) if prompts else []
    folder = out or (weights if weights.is_dir() else weights.parent) / "samples"
    make_sounds(weights, folder, wanted, config, init, typer.echo)


@with_sections("models")
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
    from .codec.center_crop import middles
    from .codec.evaluate import round_trip, summary
    from .codec.kinds import CODECS

    codec = resolve(config.models.codec, CODECS, device=pick_device(config.models.device))
    pmos, trips = resolve(judge, KINDS), []
    for name, wave in middles(source, seconds, limit):
        trips.append(round_trip(codec, wave, name, pmos))
        told = trips[-1]
        typer.echo(
            f"{name[-44:]:44} mel L1 {told.mel_l1:.3f}  stft {told.stft:.2f} (true mel "
            f"{told.stft_mel:.2f})  p-MOS {told.pmos:.2f} (true mel {told.pmos_mel:.2f}, wave "
            f"{told.pmos_wave:.2f})"
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
    from ..models.pmos.kinds import KINDS
    from ..models.ref import resolve
    from .generate.page import write_page

    typer.echo(write_page(folder, resolve(judge, KINDS), out))
