"""The generation pipeline: a trained network, its codec and its text encoder; prompts to sounds.

    pipeline = GenerationPipeline(run, config)
    for clip in pipeline.generate([Prompt("slow piano", quality=5.0)]):
        clip.wave, clip.text ...

A clip follows from its prompt, level, seed and the settings alone. On a CPU clips are generated one
by one, so that even their last bits do not depend on how many there are; on a GPU `batch` at once.
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
from ...models.clap.kinds import MATCHERS
from ...models.ref import pick_device, resolve
from ...schemas.errors import ConfigError
from ...schemas.prompt import prompt_of
from ..codec.base import DOWN
from ..codec.base import name_of as codec_name
from ..codec.kinds import open_codec, open_text_encoder
from ..codec.text_encoders import name_of as text_name
from ..config import Config
from ..data.latents_stage import latent_frames
from ..data.text_states import padded
from ..diffusion.config import STEPS
from ..diffusion.guidance import Condition, check_text, guided
from ..diffusion.objective import Objective
from ..diffusion.solvers import Noise, sample, with_fitting_solver
from ..diffusion.variation import vary
from ..diffusion.windowed import Windowed
from ..network.quality import check_quality
from .sample import load_network


@dataclass(frozen=True)
class Prompt:
    """What a sound is generated for. quality: 1..5, numbers between allowed; 0: none."""

    text: str
    quality: float = 5.0
    seed: int = 0


@dataclass(frozen=True)
class Generated:
    """One sound. wave: float32 [N] at 16 kHz. text: the prompt as the encoder was given it.

    latent: [C, T, F], scaled as in training. similarity: to the prompt, where it was ranked.
    """

    prompt: Prompt
    text: str
    wave: np.ndarray
    latent: torch.Tensor
    similarity: float | None = None


class GenerationPipeline:
    """Opens what a run needs. Raises WeightsMissing, ConfigError where codec or encoder are others."""

    def __init__(self, run: Path, config: Config) -> None:
        self.config, self.run = config, run
        self.device = pick_device(config.models.device)
        self.network, self.trained, self.about = load_network(run, torch.device(self.device))
        self.objective = Objective(self.trained.objective)
        self.codec = open_codec(config.models.codec, self.device)
        self.encoder = open_text_encoder(config.models.text_encoder, self.device)
        self.scale = self._checked_scale()
        window = self.network.config.frames
        self.frames = max(window, latent_frames(config.generate.seconds))
        self.wrapped: torch.nn.Module = self.network
        if self.frames > window:
            self.wrapped = Windowed(self.network, window, config.generate.overlap)

    def _checked_scale(self) -> float:
        """The scale of the latents that the network was trained on, codec and encoder compared."""
        latents, text = (_section(self.about, name) for name in ("latents", "text"))
        for what, flag, own, trained in (
            ("codec", "--codec", codec_name(self.codec), latents.get("codec")),
            ("text encoder", "--text-encoder", text_name(self.encoder), text.get("encoder")),
        ):
            if trained is not None and trained != own:
                raise ConfigError(
                    f"{self.run} was trained with {what} {trained!r}; {own!r} is given: choose with "
                    f"{flag}"
                )
        if "scale" not in latents:
            raise ConfigError(
                f"{self.run} does not say which latents it was trained on: only runs of `qamdt-train "
                "fit` can be decoded to sound"
            )
        return float(latents["scale"])

    def generate(
        self, prompts: Sequence[Prompt], init: np.ndarray | None = None
    ) -> Iterator[Generated]:
        """The sounds of prompts, in order. init: a wave at 16 kHz that all of them vary."""
        size = 1 if self.device == "cpu" else self.config.generate.batch
        clean = self.encode(init) if init is not None else None
        for at in range(0, len(prompts), size):
            batch = prompts[at : at + size]
            texts = [self.text_of(prompt) for prompt in batch]
            latents = self._latents(batch, texts, clean)
            waves = self.decode(latents)
            for prompt, text, wave, latent in zip(batch, texts, waves, latents, strict=True):
                yield Generated(prompt, text, wave, latent)

    def text_of(self, prompt: Prompt) -> str:
        """The prompt as in training: the level's prefix before it, where the settings say so."""
        prefixed = self.config.generate.prefix == "auto" and self.trained.prompt.quality_prefix
        return prompt_of(prefix_of(prompt.quality) if prefixed else None, prompt.text) or ""

    def decode(self, latents: torch.Tensor) -> np.ndarray:
        """Waves float32 [B, N] of latents [B, C, T, F] as trained (scaled)."""
        waves = self.codec.vocode(self.codec.decode(latents.cpu() / self.scale))
        return waves[:, : round(self.config.generate.seconds * RATE_HZ)].numpy()

    def encode(self, wave: np.ndarray) -> torch.Tensor:
        """A wave [N] at 16 kHz as one latent [1, C, T, F] as trained, padded or cut to the length."""
        samples = self.frames * HOP * DOWN
        padded_wave = np.zeros(samples, np.float32)
        padded_wave[: len(wave)] = wave[:samples]
        return self.codec.encode(torch.from_numpy(padded_wave)[None]) * self.scale

    def ranked(self, clips: Sequence[Generated]) -> list[Generated]:
        """Clips with their similarity to their prompts, the best first."""
        sounds = self.matcher.embed_audio([Sound(c.wave[None], RATE_HZ) for c in clips])
        texts = self.matcher.embed_text([c.prompt.text for c in clips])
        similarities = np.einsum("nd,nd->n", sounds, texts)
        measured = [
            dataclasses.replace(c, similarity=float(s) if np.isfinite(s) else -1.0)
            for c, s in zip(clips, similarities, strict=True)
        ]
        return sorted(measured, key=lambda c: -(c.similarity or 0.0))

    @cached_property
    def matcher(self) -> MatchModel:
        return resolve(self.config.models.match, MATCHERS, device=self.device)

    def _latents(
        self, prompts: Sequence[Prompt], texts: Sequence[str], clean: torch.Tensor | None
    ) -> torch.Tensor:
        settings, on = self.config.generate, torch.device(self.device)
        text, mask = (part.to(on) for part in padded([self._states(t) for t in texts]))
        null, null_mask = (part.to(on) for part in padded([self._states(settings.negative)]))
        levels = torch.tensor([check_quality(p.quality) for p in prompts], device=on)
        seeds = [p.seed for p in prompts]
        sampling = with_fitting_solver(self.config.sample, self.objective)
        shape = (self.network.config.channels, self.frames, self.network.config.bands)
        if clean is None:
            return sample(
                self.wrapped, self.objective, text, mask, levels, sampling, seeds, null, null_mask,  # type: ignore[arg-type]
                settings.low_quality, shape,
            )  # fmt: skip
        check_quality(settings.low_quality)
        conditional = check_text(Condition(text, mask, levels))
        low = levels.new_full((1,), settings.low_quality)
        unconditional = check_text(Condition(null, null_mask, low))
        denoise = guided(
            self.wrapped, conditional, unconditional,
            guidance=sampling.guidance, form=sampling.form, rescale=sampling.rescale,
            on=lambda t: sampling.interval_low <= t / STEPS <= sampling.interval_high,
        )  # fmt: skip
        with torch.no_grad():
            start = clean.to(on).expand(len(prompts), *shape)
            noise = Noise(seeds, shape, text)
            return vary(denoise, start, noise, self.objective, sampling, settings.strength)

    def _states(self, text: str) -> torch.Tensor:
        """float32 [S, E]; rounded as stored ones are: a prompt is the same as in training."""
        (states,) = self.encoder.states([text], self.trained.prompt.max_tokens)
        return torch.from_numpy(states.astype(np.float16).astype(np.float32))


def prefix_of(quality: float) -> str | None:
    """The text prefix of the paper's levels: 1 low, 3 medium, 5 high, none in the gaps between."""
    return {1: "low quality", 3: "medium quality", 5: "high quality"}.get(round(quality))


def _section(about: dict[str, Any], name: str) -> dict[str, Any]:
    section = about.get(name)
    return section if isinstance(section, dict) else {}
