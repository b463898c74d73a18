"""The command line `qamdt-train`: from stored latents to a trained network and generated latents."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..pipeline.dataset import Dataset
from ..schemas import flags
from ..schemas.errors import ConfigError
from . import cli_audio
from .cli_options import with_config
from .config import Config

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Train a quality-aware masked diffusion transformer (QA-MDT) on a curated dataset folder.\n\n"
    "A run folder RUN holds all of a training; it can be stopped at any time and run again.",
)
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="dataset folder, with latents")]


@app.command()
@with_config("model", "objective", "prompt", "data", "masking", "optim", "fit", "watch")
def fit(
    folder: Folder,
    run: Annotated[Path, typer.Argument(metavar="RUN", help="folder of the training")],
    config: Config,
    until: Annotated[
        int | None, typer.Option(min=1, help="stop after this step, for jobs of limited time")
    ] = None,
    init: Annotated[
        Path | None, typer.Option(help="weights that a new run begins with: fine-tuning")
    ] = None,
    quiet: flags.QUIET = False,
) -> None:
    """Train, or go on where the run folder ended.

    Ctrl-C and SIGTERM finish the step, save and end with 130 and 143. Several GPUs: accelerate launch
    -m qamdt.train.cli fit DIR RUN. Settings of demos are in section [sample] of --config.
    """
    from .loop.fit import fit as train

    outcome = train(Dataset(folder), run, config, until, init, quiet)
    typer.echo(f"step {outcome.step}: {run}")
    if outcome.exit_code:
        sys.exit(outcome.exit_code)


@app.command()
@with_config("model", "masking", "fit", "watch")
def info(
    config: Config,
    text_tokens: Annotated[int, typer.Option(min=1, help="tokens of a prompt")] = 64,
    mfu: Annotated[float, typer.Option(help="MFU assumed for the time of a step")] = 0.4,
    json_: Annotated[bool, typer.Option("--json", help="as JSON")] = False,
) -> None:
    """Parameters, FLOPs, memory and time of a step, before anything is trained."""
    from .loop.info import describe, print_info

    print_info(describe(config, text_tokens, mfu), json_)


@app.command()
@with_config("sample")
def sample(
    weights: Annotated[
        Path, typer.Argument(metavar="RUN", help="run folder, checkpoint folder or .safetensors")
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="dataset folder with the prompts' text states")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="file of latents, .safetensors")],
    config: Config,
    text: Annotated[
        list[str] | None, typer.Option(help="prompt, its prefix included; may be given again")
    ] = None,
    quality: Annotated[
        list[float] | None,
        typer.Option(help="level 1..5, 4.5 is between; may be given again [dim]\\[5][/dim]"),
    ] = None,
    negative: Annotated[
        str, typer.Option(help="prompt of guidance's second prediction; empty: none")
    ] = "",
    low_quality: Annotated[
        float, typer.Option(help="level of guidance's second prediction; 0: none")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="seed of the first latent of each prompt")] = 0,
    count: Annotated[int, typer.Option(min=1, help="latents for each prompt and level")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, help="latents at once")] = 8,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
) -> None:
    """Generate latents for prompts at quality levels, with the EMA of the weights."""
    from .generate.sample import Request, sample_to

    if not text:
        raise ConfigError("give at least one prompt: --text 'high quality, slow piano'")
    request = Request(
        tuple(text), tuple(quality or [5.0]), negative, low_quality, seed, count, batch_size
    )
    count = sample_to(out, weights, Dataset(folder), request, config.sample, device)
    typer.echo(f"{count} latents: {out}")


@app.command(name="import-released")
def import_released(
    checkpoint: Annotated[
        Path, typer.Argument(help="checkpoint of the released class PixArt_MDT_MOS_AS_TOKEN")
    ],
    out: Annotated[Path, typer.Argument(help="weights file to write, .safetensors")],
    heads: Annotated[int, typer.Option(help="attention heads, which weights do not say")] = 16,
    ema: Annotated[bool, typer.Option(help="take the EMA of the weights")] = False,
) -> None:
    """Translate released weights by name, for `sample` and for `fit --init`."""
    from .generate.sample import write_released

    config = write_released(checkpoint, out, heads, ema)
    typer.echo(f"{out}: width {config.width}, depth {config.depth}, latents {config.shape}")


cli_audio.add_to(app)


def main(**_: Any) -> None:
    """Entry point of `qamdt-train`."""
    flags.speak(app, "stopped at once; the same command goes on from the last checkpoint")


if __name__ == "__main__":
    main()
