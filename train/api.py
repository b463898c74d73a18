"""Training and generation from a program: what `qamdt-train latents, fit, generate` do.

    run = fit("out/mine", "runs/tiny", size="nano", steps=1500)   # the same call goes on
    sounds = generate(run, ["solo piano"], quality=5, steps=50)
    sounds[0].save("piano.wav")

Nothing is printed unless `progress=True` is given. Errors are those of `schemas.errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schemas.call import Call
from ..schemas.errors import ConfigError
from ..schemas.plugins import load
from ..schemas.settings import configured
from .audio_config import AudioConfig
from .audio_config import from_toml as sound_from_toml
from .config import Config, from_toml

if TYPE_CHECKING:
    import numpy as np

Log = Callable[[str], None]
Folder = Any  # str, Path, or what has a `root`: a qamdt.Dataset, a Run
FIT_SECTIONS = ("model", "objective", "data", "masking", "optim", "fit", "watch")


@dataclass(frozen=True)
class Run:
    """A training: its folder, the step it stands at, and the loss there.

    exit_code: 0, or 128 + the signal that stopped it. loss: NaN where no step was taken.
    """

    root: Path
    step: int
    loss: float
    exit_code: int = 0

    def metrics(self) -> Any:
        """What was logged, a row a line of log.jsonl, as a pandas data frame."""
        import pandas as pd

        return pd.read_json(self.root / "log.jsonl", lines=True)


@dataclass(frozen=True)
class GeneratedSound:
    """A sound made of a prompt.

    samples: float32 [n], mono. rate_hz: of the samples. about: all that made it, as in the tags of
    the files of `qamdt-train generate`: prompt, text, quality, seed, similarity, weights, ...
    """

    samples: np.ndarray = field(repr=False)
    rate_hz: int
    about: dict[str, Any]

    def save(self, path: str | Path) -> Path:
        """Write it as 16-bit .wav or .flac, with `about` in its tags. Raises ConfigError, StoreError."""
        from .audio_config import FORMATS
        from .generate.audio_files import write_sound

        path = Path(path)
        if path.suffix[1:].lower() not in FORMATS:
            raise ConfigError(f"{path}: expected a name that ends in .{' or .'.join(FORMATS)}")
        write_sound(path, self.samples, self.rate_hz, self.about)
        return path

    def _repr_html_(self) -> str:
        from markupsafe import escape

        from ..audio.sound import Sound
        from ..reports.playable import mp3_uri

        source = mp3_uri(Sound(self.samples[None], self.rate_hz))
        text = f"{self.about['prompt']}, quality {self.about['quality']:g}"
        return f'<audio controls src="{source}"></audio> {escape(text)}'


def latents(
    dataset: Folder,
    config: AudioConfig | str | Path | None = None,
    *,
    progress: bool = False,
    log: Log | None = None,
    plugins: Sequence[str | Path] = (),
    **settings: Any,
) -> None:
    """Every kept clip becomes a latent, every prompt text states; goes on where it was stopped.

    dataset: a curated folder. config: an AudioConfig, a profile's name or a TOML file. settings: by
    name (`codec="diffusers@FOLDER"`) or by section. Raises ConfigError, StoreError, WeightsMissing.
    """
    from ..pipeline.dataset import Dataset
    from .data.latents_stage import make_latents

    load([Path(p) for p in plugins])
    sections = ("models", "latents", "run")
    store, settled = Dataset(_root(dataset)), _sound_config(config, settings, sections)
    with store.lock():
        make_latents(store, settled, Call(quiet=not progress, log=_log(progress, log)))


def fit(
    dataset: Folder,
    run: Folder,
    config: Config | str | Path | None = None,
    *,
    until: int | None = None,
    init: str | Path | None = None,
    progress: bool = False,
    log: Log | None = None,
    plugins: Sequence[str | Path] = (),
    **settings: Any,
) -> Run:
    """Train into the folder `run`, or go on with it where it ended.

    dataset: a curated folder; where it has no latents yet they are made as `latents(dataset)` makes
    them. until: stop after this step. init: weights that a new run begins with. config: a Config or a
    TOML file. settings: by name (`steps=1500`, `size="nano"`) or by section, over those of a run
    that is gone on with. Raises ConfigError, StoreError, ModelError.
    """
    from ..pipeline.dataset import Dataset
    from .loop.fit import fit as train

    load([Path(p) for p in plugins])
    base = config if isinstance(config, Config) else Config()
    if isinstance(config, str | Path):
        base = from_toml(Path(config), base)
    given = dict(settings)
    if "size" in given:
        base = base.override("model", {"size": given.pop("size")})
    settled = configured(base, given, FIT_SECTIONS)
    root, store = _root(run), Dataset(_root(dataset))
    if store.current("latents") is None:
        latents(dataset, progress=progress, log=log)
    outcome = train(
        store, root, settled, until, Path(init) if init else None, not progress, _log(progress, log)
    )
    return Run(root, outcome.step, outcome.loss, outcome.exit_code)


def generate(
    run: Folder,
    prompts: str | Sequence[str],
    quality: float | Sequence[float] = 5.0,
    config: AudioConfig | str | Path | None = None,
    *,
    seed: int = 0,
    init: str | Path | None = None,
    plugins: Sequence[str | Path] = (),
    **settings: Any,
) -> list[GeneratedSound]:
    """Sounds of prompts at quality levels: for each prompt, for each level, the candidates kept.

    run: a Run, its folder, or a file of weights. quality: 1..5, numbers between allowed; 0: not said.
    seed: of the first candidate. init: a sound to vary (`strength=`). settings: by name
    (`steps=50, seconds=10, n=4, best=1`) or by section. Raises ConfigError, ModelError, AudioError.
    """
    from ..audio.mel import RATE_HZ
    from .generate.generate import candidates_of
    from .generate.pipeline import Prompt

    load([Path(p) for p in plugins])
    texts = [prompts] if isinstance(prompts, str) else list(prompts)
    levels = [quality] if isinstance(quality, int | float) else list(quality)
    wanted = [Prompt(text, float(level), seed) for text in texts for level in levels]
    settled = _sound_config(config, settings, ("models", "make", "sample"))
    made = candidates_of(_root(run), wanted, settled, Path(init) if init is not None else None)
    return [GeneratedSound(take.wave, RATE_HZ, about) for take, about in made]


def _sound_config(
    config: AudioConfig | str | Path | None, given: Mapping[str, Any], sections: Sequence[str]
) -> AudioConfig:
    base = config if isinstance(config, AudioConfig) else AudioConfig()
    if isinstance(config, str | Path):
        base = sound_from_toml(Path(config), base)
    return configured(base, given, sections)


def _root(folder: Folder) -> Path:
    """The path of a folder, or of what has one."""
    if not isinstance(folder, str | Path):  # a Path has a `root` too: that of the file system
        folder = getattr(folder, "root", None) or _refuse(folder)
    return Path(folder)


def _refuse(folder: object) -> str:
    raise ConfigError(f"{folder!r}: expected a folder, a qamdt.Dataset or a qamdt.Run")


def _log(progress: bool, log: Log | None) -> Log:
    return log or (print if progress else _silent)


def _silent(line: str) -> None:
    """Nothing: a program is not talked to."""
