"""The command line `qamdt-train`: from stored latents to a trained network and generated latents.

cli_sound.py has the commands between sound and latents.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..schemas.call import Call
from ..schemas.commands import closing
from ..schemas.errors import ConfigError
from ..schemas.flags import commas
from . import cli_sound
from .cli_app import Run, app, with_config
from .config import Config

__all__ = ["app", "main"]


@app.register(log="run")
@with_config("model", "objective", "data", "masking", "optim", "fit", "watch")
def fit(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="dataset folder, with latents")],
    run: Annotated[Path, typer.Argument(metavar="RUN", help="folder of the training")],
    config: Config,
    call: Call,
    until: Annotated[
        int | None, typer.Option(min=1, help="stop after this step, for jobs of limited time")
    ] = None,
    init: Annotated[
        Path | None, typer.Option(help="weights that a new run begins with: fine-tuning")
    ] = None,
) -> None:
    """Train, or go on where the run folder ended.

    Ctrl-C and SIGTERM finish the step, save and end with 130 and 143. Several GPUs: accelerate launch
    -m qamdt.train.cli fit DIR RUN. Settings of demos are in section [sample] of a file of --config.
    """
    from ..pipeline.dataset import Dataset
    from .loop.fit import fit as train

    outcome = train(Dataset(folder), run, config, until, init, call.quiet)
    typer.echo(f"step {outcome.step}: {run}")
    words = ["qamdt-train", "generate", run, "--quality", "1,3,5", "--prompt", "slow, calm piano"]
    curves = ["tensorboard", "--logdir", run / "tensorboard"]
    closing(
        [(run / "log.jsonl", "losses, rates and speed, a line each"), (run / "demos", "demos")],
        [words, *([curves] if config.watch.tensorboard else [])],
    )
    if outcome.exit_code:
        sys.exit(outcome.exit_code)


@app.register()
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


@app.register()
@with_config("sample")
def sample(
    weights: Run,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="dataset folder with the prompts' text states")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="file of latents, .safetensors")],
    config: Config,
    text: Annotated[
        list[str] | None, typer.Option(help="prompt, its prefix included; may be given again")
    ] = None,
    quality: Annotated[
        list[str] | None,
        typer.Option(
            help="level 1..5, 4.5 is between; commas between; default: 5", callback=commas(float)
        ),
    ] = None,
    negative: Annotated[
        str, typer.Option(help="prompt of guidance's second answer; empty: none")
    ] = "",
    low_quality: Annotated[
        float, typer.Option(help="level of guidance's second answer; 0: not said")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="seed of the first latent of each prompt")] = 0,
    count: Annotated[int, typer.Option(min=1, help="latents for each prompt and level")] = 1,
    batch_size: Annotated[int, typer.Option(min=1, help="latents at once")] = 8,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
) -> None:
    """Generate latents for prompts at quality levels, with the EMA of the weights."""
    from ..pipeline.dataset import Dataset
    from .generate.sample import Request, generate_to

    if not text:
        raise ConfigError("give at least one prompt: --text 'high quality, slow piano'")
    levels = tuple(float(level) for level in quality or ["5"])
    request = Request(tuple(text), levels, negative, low_quality, seed, count, batch_size)
    made = generate_to(out, weights, Dataset(folder), request, config.sample, device)
    typer.echo(f"{made} latents: {out}")


@app.register()
def import_released(
    checkpoint: Annotated[
        Path, typer.Argument(help="checkpoint of the released class PixArt_MDT_MOS_AS_TOKEN")
    ],
    out: Annotated[Path, typer.Argument(help="weights file to write, .safetensors")],
    heads: Annotated[int, typer.Option(help="attention heads, which weights do not tell")] = 16,
    ema: Annotated[bool, typer.Option(help="take the EMA of the weights")] = False,
) -> None:
    """Translate released weights by name, for `sample` and for `fit --init`."""
    from .generate.sample import write_released

    config = write_released(checkpoint, out, heads, ema)
    typer.echo(f"{out}: width {config.width}, depth {config.depth}, latents {config.shape}")


cli_sound.add_to(app)


def main(**_: Any) -> None:
    """Entry point of `qamdt-train`."""
    app.run()


if __name__ == "__main__":
    main()
