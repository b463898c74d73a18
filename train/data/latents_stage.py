"""The latents station: every kept clip as a latent, every prompt as token states.

Two jobs of the house's runner, resumable, on Ray or in this process: `latents` decodes each clip and
encodes it (an error is a row), `text` (prompt_states.py) encodes each unique prompt once. When no clip
is left, latent_scale.py measures the scale of the set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ...audio.mel import HOP, RATE_HZ
from ...audio.sound import Sound
from ...models.ref import pick_device
from ...pipeline.audio_pass import Answer, ListenJob
from ...pipeline.dataset import Dataset
from ...pipeline.job import output
from ...pipeline.stage import Call, work
from ...schemas.errors import AudioError, StoreError
from ...schemas.tables import Latent
from ..audio_config import AudioConfig, LatentsConfig, ModelsConfig
from ..check import check_models, open_model
from ..codec.base import DOWN, Codec, name_of
from .latent_scale import Sealed, seal
from .latent_store import as_half
from .text_states_stage import text_job

VERSION = 1
TOLERANCE = 16  # samples at 16 kHz that resampling may add to a clip
LARGEST_BUNDLE = 512  # latents of 64 KiB


class LatentListener:
    """A listener that encodes. The row names its codec itself."""

    writes: type = Latent
    version = VERSION
    model_id = weights = ""

    def __init__(self, models: ModelsConfig, config: LatentsConfig) -> None:
        self._models, self._config = models, config
        self.frames = latent_frames(config.seconds)

    @cached_property
    def codec(self) -> Codec:
        return open_model(self._models, "codec", device=pick_device(self._models.device))

    def open(self) -> None:
        self.codec.load()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "codec"}

    def extract(self, sounds: Sequence[Sound]) -> Sequence[Answer]:
        import torch

        waves = [self._wave(sound) for sound in sounds]
        good = [(k, w) for k, w in enumerate(waves) if isinstance(w, np.ndarray)]
        out: list[Answer] = [w if isinstance(w, Exception) else {} for w in waves]
        if not good:
            return out
        batch = torch.from_numpy(np.stack([w for _, w in good]))
        seeds = [_seed_of(w) for _, w in good]
        latents = self.codec.encode(batch, self._config.posterior, seeds).numpy()
        for (k, _), latent in zip(good, latents, strict=True):
            out[k] = self._columns(latent, sounds[k].name)
        return out

    def _columns(self, latent: np.ndarray, name: str) -> Answer:
        try:
            half = as_half(latent, name)
        except StoreError as error:
            return error
        return {
            "latent": half.tobytes(),
            "shape": list(half.shape),
            "codec": name_of(self.codec),
        }

    def _wave(self, sound: Sound) -> np.ndarray | AudioError:
        """The clip at 16 kHz, filled with silence to the length of a latent."""
        wave, wanted = sound.mono_at(RATE_HZ), self.frames * HOP * DOWN
        if len(wave) > wanted + TOLERANCE:
            return AudioError(
                f"the clip is {sound.duration_s:.2f} s long, a latent {wanted / RATE_HZ:.2f} s: give "
                "--seconds, or cut clips of that length (qamdt-curate ingest --window-s)"
            )
        wave = wave[:wanted]
        return np.pad(wave, (0, wanted - len(wave))).astype(np.float32)


def latent_frames(seconds: float) -> int:
    """Frames of 40 ms in `seconds`, at least 2. The paper's 10.24 s are 256."""
    return max(2, round(seconds * RATE_HZ / (HOP * DOWN)))


def latent_job(dataset: Dataset, config: AudioConfig, limit: int | None = None) -> ListenJob:
    """The job that encodes clips; the table's state names the codec and the settings."""
    listener = LatentListener(config.models, config.latents)
    codec = open_model(config.models, "codec")
    params = {"frames": listener.frames, "posterior": config.latents.posterior}
    out = output(dataset, Latent, VERSION, params, ["clips"], codec.model_id, codec.digest)
    job = ListenJob(dataset, (listener,), (out,), limit, "latents", config.latents.kept_only)
    job.largest_bundle = LARGEST_BUNDLE  # type: ignore[attr-defined]
    return job


def make_latents(
    dataset: Dataset, config: AudioConfig, call: Call, measure: bool = False
) -> Sealed | None:
    """The whole station: latents, then their scale, then text states. The caller holds the lock.

    Returns None where the set is not done yet (a limit, a dry run), when no scale is written.
    Raises StoreError where the filter station has not run.
    """
    if config.latents.kept_only:
        _need(dataset, "decisions", "filter")
    _need(dataset, "clips", "ingest")
    check_models(config.models, "codec", "text_encoder")
    job = latent_job(dataset, config, call.limit)
    work(dataset, job, config.run, call)
    sealed = None
    left = latent_job(dataset, config).total()
    if left and not call.dry_run:
        call.log(f"latents: {left} clips to go; the scale is measured when none is left")
    elif not call.dry_run:
        sealed = seal(dataset, job.outputs[0].fingerprint, measure)
        call.log(_told(sealed, config))
    work(dataset, text_job(dataset, config), config.run, call)
    return sealed


def _told(sealed: Sealed, config: AudioConfig) -> str:
    how = "measured over" if sealed.measured else "as measured before, for"
    line = f"latents: scale {sealed.scale:.4f}, {how} {sealed.n} latents"
    stated = open_model(config.models, "codec").scaling
    if stated:
        line += f"; the codec's makers state {stated:.4f}"
    return line


def _need(dataset: Dataset, table: str, station: str) -> None:
    state = dataset.current(table)
    if state is None or dataset.stale_parent(table):
        raise StoreError(
            f"{dataset.root}: table {table} is {'stale' if state else 'missing'}; run `qamdt-curate "
            f"{station} {dataset.root}`"
            + (" or give --no-kept-only" if table == "decisions" else "")
        )


def _seed_of(wave: np.ndarray) -> int:
    """A seed from what is heard, so that a clip's sample is the same in any run."""
    return int(hashlib.sha256(wave.tobytes()).hexdigest()[:12], 16)
