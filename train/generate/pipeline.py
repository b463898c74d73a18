"""The studio: a trained network, its codec and its text encoder; prompts in, sounds out.

    studio = Generator(run, config)
    for take in studio.takes([Prompt("slow piano", quality=5.0)]):
        take.wave, take.similarity ...

A take follows from its prompt, level, seed and the settings alone. On a CPU takes are made one by
one, so that even their last bits do not depend on how many there are; on a GPU `batch` at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...audio.mel import HOP, RATE_HZ
from ...audio.sound import Sound
from ...models.clap.base import MatchModel
from ...models.ref import pick_device
from ...schemas.errors import ConfigError
from ...schemas.prompt import prompt_of
from ..audio_config import AudioConfig
from ..check import open_model
from ..codec.base import DOWN, Codec
from ..codec.base import name_of as codec_name
from ..codec.text_encoders import TextEncoder
from ..codec.text_encoders import name_of as text_name
from ..data.latents_stage import latent_frames
from ..data.text_states import padded
from ..diffusion.config import STEPS
from ..diffusion.guidance import Condition, check_text, guided
from ..diffusion.objective import Objective
from ..diffusion.solvers import Noise, sample
from ..diffusion.variation import vary
from ..diffusion.windowed import Windowed
from ..loop.demos import fitting
from ..network.quality import check_quality
from .sample import load_network


@dataclass(frozen=True)
class Prompt:
    """What a sound is asked for. quality: 1..5, numbers between allowed; 0: not said."""

    text: str
    quality: float = 5.0
    seed: int = 0


@dataclass(frozen=True)
class Take:
    """One sound made. wave: float32 [N] at 16 kHz. text: what the encoder read."""

    prompt: Prompt
    text: str
    wave: np.ndarray
    latent: torch.Tensor
    similarity: float | None = None


class Generator:
    """Opens what a run needs. Raises WeightsMissing, ConfigError where codec or encoder are others."""

    def __init__(self, run: Path, config: AudioConfig) -> None:
        self.config, self.run = config, run
        self.device = pick_device(config.models.device)
        self.network, self.trained, self.about = load_network(run, torch.device(self.device))
        self.objective = Objective(self.trained.objective)
        self.codec: Codec = open_model(config.models, "codec", device=self.device)
        self.encoder: TextEncoder = open_model(config.models, "text_encoder", device=self.device)
        self.scale = self._checked()
        window, wanted = self.network.config.frames, latent_frames(config.make.seconds)
        self.frames = max(window, wanted)
        self.wrapped: torch.nn.Module = self.network
        if self.frames > window:
            self.wrapped = Windowed(self.network, window, config.make.overlap)

    def _checked(self) -> float:
        """The scale of the latents that the network was trained on."""
        latents, text = (_told(self.about, name) for name in ("latents", "text"))
        for what, flag, own, trained_with in (
            ("codec", "--codec", codec_name(self.codec), latents.get("codec")),
            ("text encoder", "--text-encoder", text_name(self.encoder), text.get("encoder")),
        ):
            if trained_with is not None and trained_with != own:
                raise ConfigError(
                    f"{self.run} was trained with {what} {trained_with!r}; {own!r} is "
                    f"given: choose with {flag}"
                )
        if "scale" not in latents:
            raise ConfigError(
                f"{self.run} does not say which latents it was trained on: only runs of `qamdt-train "
                "fit` can be heard"
            )
        return float(latents["scale"])

    def takes(self, prompts: Sequence[Prompt], init: np.ndarray | None = None) -> Iterator[Take]:
        """The sounds of prompts, in order. init: a wave at 16 kHz that all of them vary."""
        at_once = 1 if self.device == "cpu" else self.config.make.batch
        clean = self._latent_of(init) if init is not None else None
        for at in range(0, len(prompts), at_once):
            some = prompts[at : at + at_once]
            texts = [self.text_of(prompt) for prompt in some]
            latents = self._latents(some, texts, clean)
            waves = self.sound_of(latents)
            for prompt, text, wave, latent in zip(some, texts, waves, latents, strict=True):
                yield Take(prompt, text, wave, latent)

    def text_of(self, prompt: Prompt) -> str:
        """The prompt as in training: the level's prefix before it, where the settings say so."""
        wanted = self.config.make.prefix == "auto" and self.trained.data.quality_prefix
        return prompt_of(prefix_of(prompt.quality) if wanted else None, prompt.text) or ""

    def sound_of(self, latents: torch.Tensor) -> np.ndarray:
        """Waves float32 [B, N] of latents [B, C, T, F] as trained (scaled)."""
        made = self.codec.vocode(self.codec.decode(latents.cpu() / self.scale))
        return made[:, : round(self.config.make.seconds * RATE_HZ)].numpy()

    def ranked(self, takes: Sequence[Take]) -> list[Take]:
        """Takes with their similarity to the prompt they were asked for, the best first."""
        sounds = self.matcher.embed_audio([Sound(t.wave[None], RATE_HZ) for t in takes])
        texts = self.matcher.embed_text([t.prompt.text for t in takes])
        near = np.einsum("nd,nd->n", sounds, texts)
        found = [
            dataclasses.replace(t, similarity=float(s) if np.isfinite(s) else -1.0)
            for t, s in zip(takes, near, strict=True)
        ]
        return sorted(found, key=lambda t: -(t.similarity or 0.0))

    @cached_property
    def matcher(self) -> MatchModel:
        return open_model(self.config.models, "match", device=self.device)

    def _latents(
        self, prompts: Sequence[Prompt], texts: Sequence[str], clean: torch.Tensor | None
    ) -> torch.Tensor:
        make, on = self.config.make, torch.device(self.device)
        text, mask = (part.to(on) for part in padded([self._states(t) for t in texts]))
        null, null_mask = (part.to(on) for part in padded([self._states(make.negative)]))
        levels = torch.tensor([check_quality(p.quality) for p in prompts], device=on)
        seeds = [p.seed for p in prompts]
        sampling = fitting(self.config.sample, self.objective)
        shape = (self.network.config.channels, self.frames, self.network.config.bands)
        if clean is None:
            return sample(
                self.wrapped, self.objective, text, mask, levels, sampling, seeds, null, null_mask,  # type: ignore[arg-type]
                make.low_quality, shape,
            )  # fmt: skip
        check_quality(make.low_quality)
        conditional = check_text(Condition(text, mask, levels))
        low = levels.new_full((1,), make.low_quality)
        denoise = guided(
            self.wrapped, conditional, check_text(Condition(null, null_mask, low)),
            guidance=sampling.guidance, form=sampling.form, rescale=sampling.rescale,
            on=lambda t: sampling.interval_low <= t / STEPS <= sampling.interval_high,
        )  # fmt: skip
        with torch.no_grad():
            given = clean.to(on).expand(len(prompts), *shape)
            noise = Noise(seeds, shape, text)
            return vary(denoise, given, noise, self.objective, sampling, make.strength)

    def _latent_of(self, wave: np.ndarray) -> torch.Tensor:
        """A wave [N] at 16 kHz as one latent [1, C, T, F] as trained, filled or cut to the length."""
        samples = self.frames * HOP * DOWN
        fitted = np.zeros(samples, np.float32)
        fitted[: len(wave)] = wave[:samples]
        return self.codec.encode(torch.from_numpy(fitted)[None]) * self.scale

    def _states(self, text: str) -> torch.Tensor:
        """float32 [S, E]; rounded as stored ones are: a prompt is the same as in training."""
        (states,) = self.encoder.states([text], self.trained.data.max_tokens)
        return torch.from_numpy(states.astype(np.float16).astype(np.float32))


def prefix_of(quality: float) -> str | None:
    """The text prefix of the paper's levels: 1 low, 3 medium, 5 high, none in the gaps between."""
    return {1: "low quality", 3: "medium quality", 5: "high quality"}.get(round(quality))


def _told(about: dict[str, Any], name: str) -> dict[str, Any]:
    found = about.get(name)
    return found if isinstance(found, dict) else {}
