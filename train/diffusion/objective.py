"""What the network learns: the noising of a latent, the target, the loss, and which t it trains on.

Time: one convention everywhere. t is a float from 0 (clean) to 1000 (noise) and goes into the
network as it is. Diffusion has the whole steps 0 .. 999, and step t has alpha_bar[t]; flow has every
t, and sigma = t / 1000.

    eps, v, x0    x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps   SNR = alpha_bar / (1 - alpha_bar)
    flow          x_t = (1 - sigma) x0 + sigma eps                     SNR = ((1 - sigma) / sigma)^2

    target        eps | v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x0 | x0 | flow = eps - x0
    min-SNR       min(SNR, g) times the squared error of x0 (arXiv 2303.09556), which in terms of each
                  target's own error is min(SNR, g) / SNR | min(SNR, g) / (SNR + 1) | min(SNR, g) |
                  min(SNR, g) sigma^2

The schedule is the released one: beta from 0.0015 to 0.0195, linear in sqrt(beta).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...schemas.errors import ConfigError
from .config import STEPS, ObjectiveConfig

BETA_START, BETA_END = 0.0015, 0.0195


def alpha_bars() -> Tensor:
    """alpha_bar[0] = 0.9985 .. alpha_bar[999] = 1.423e-4, float64 [1000]."""
    roots = torch.linspace(BETA_START**0.5, BETA_END**0.5, STEPS, dtype=torch.float64)
    return (1 - roots.square()).cumprod(0)


class Levels(NamedTuple):
    """Share of signal and of noise in x_t, each [B, 1, 1, 1]: x_t = signal x0 + noise eps."""

    signal: Tensor
    noise: Tensor


class Objective:
    """See the module. Latents are [B, C, T, F], t [B]."""

    def __init__(self, config: ObjectiveConfig) -> None:
        self.config = config
        self.is_flow = config.prediction == "flow"
        self._tables = {torch.device("cpu"): alpha_bars().float()}

    def times_of(self, uniform: Tensor, similarity: Tensor | None = None) -> Tensor:
        """t float [n], from one uniform number 0 .. 1 a sample: the inverse of its distribution.

        `score` follows the idea of arXiv 2606.07387, that badly captioned clips train the noisy end
        instead of being dropped; the mapping is ours. trust = (similarity - score_low) / (score_high -
        score_low), held in 0 .. 1, and t / 1000 ~ Beta(a, 1) with a = 1 + (tilt - 1) (1 - trust): uniform
        for a trusted caption, of mean tilt / (tilt + 1) for one that says nothing. An unknown similarity
        (NaN) is trusted. Raises ConfigError where `score` is asked for and no similarity given.
        """
        config = self.config
        share = uniform
        if config.timesteps == "logit-normal":
            normal = torch.special.ndtri(uniform)
            share = torch.sigmoid(config.logit_mean + config.logit_std * normal)
        elif config.timesteps == "score":
            if similarity is None:
                raise ConfigError(
                    "timesteps = 'score': expected the caption similarity of every clip; the data "
                    "have none, so choose uniform or logit-normal"
                )
            span = config.score_high - config.score_low
            trust = ((similarity.to(uniform) - config.score_low) / span).clamp(0, 1).nan_to_num(1.0)
            share = uniform ** (1 / (1 + (config.score_tilt - 1) * (1 - trust)))
        t = share * STEPS
        return t.clamp(0, STEPS) if self.is_flow else t.floor().clamp(0, STEPS - 1)

    def draw_times(
        self, n: int, generator: torch.Generator, similarity: Tensor | None = None
    ) -> Tensor:
        """t float [n] for training, on the generator's device; see `times_of`."""
        uniform = torch.rand(n, generator=generator, device=generator.device)
        return self.times_of(uniform, similarity)

    def levels(self, t: Tensor) -> Levels:
        """Signal and noise at t [B]."""
        if self.is_flow:
            sigma = (t.float() / STEPS)[:, None, None, None]
            return Levels(1 - sigma, sigma)
        if t.device not in self._tables:
            self._tables[t.device] = self._tables[torch.device("cpu")].to(t.device)
        alpha_bar = self._tables[t.device][t.long()][:, None, None, None]
        return Levels(alpha_bar.sqrt(), (1 - alpha_bar).sqrt())

    def noised(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """x_t: q(x_t | x_0) sampled with the given noise."""
        level = self.levels(t)
        return level.signal.to(clean.dtype) * clean + level.noise.to(clean.dtype) * noise

    def target(self, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What the network should answer."""
        prediction = self.config.prediction
        if prediction == "eps":
            return noise
        if prediction == "x0":
            return clean
        if prediction == "flow":
            return noise - clean
        level = self.levels(t)
        return level.signal * noise - level.noise * clean

    def weight(self, t: Tensor) -> Tensor:
        """The loss weight at t, [B]; 1 without min-SNR."""
        gamma = self.config.min_snr_gamma
        if gamma is None:
            return torch.ones_like(t, dtype=torch.float32)
        signal, noise = (part.flatten().double() for part in self.levels(t))
        snr = signal.square() / noise.square()  # infinite at flow's t = 0, where noise is 0
        prediction = self.config.prediction
        if prediction == "eps":
            weight = (gamma / snr).clamp_max(1)
        elif prediction == "x0":
            weight = snr.clamp_max(gamma)
        else:  # v: noise^2 = 1 / (SNR + 1)
            weight = snr.clamp_max(gamma) * noise.square()
        return weight.float()

    def loss(self, output: Tensor, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Weighted squared error of every sample, float32 [B], a mean over all of its tokens."""
        error = output.float() - self.target(clean.float(), noise.float(), t)
        return error.square().mean((1, 2, 3)) * self.weight(t)

    def to_clean(self, output: Tensor, noised: Tensor, t: Tensor) -> Tensor:
        """x_0 that an output stands for."""
        signal, noise = self.levels(t)
        prediction = self.config.prediction
        if prediction == "x0":
            return output
        if prediction == "eps":
            return (noised - noise * output) / signal
        if prediction == "flow":
            return noised - noise * output
        return signal * noised - noise * output

    def to_noise(self, output: Tensor, noised: Tensor, t: Tensor) -> Tensor:
        """eps that an output stands for."""
        signal, noise = self.levels(t)
        prediction = self.config.prediction
        if prediction == "eps":
            return output
        if prediction == "x0":
            return (noised - signal * output) / noise
        if prediction == "flow":
            return noised + signal * output
        return noise * noised + signal * output
