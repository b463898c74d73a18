"""The codec: a wave becomes a latent, a latent a mel, a mel a wave.

    wave [B, N] at 16 kHz -> log-mel [B, N / 160, 64] -> latent [B, C, N / 640, 16]
    latent -> log-mel -> wave, by Griffin-Lim or a HiFi-GAN

Every kind hears the mel of audio/mel.py. Latents are given as the autoencoder has them; the factor
that brings them to a deviation of 1 is measured over the training set and stored with it.

Source: AudioLDM (arXiv 2301.12503, section 3.2), as QA-MDT uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from ...audio import mel as front
from ...schemas.errors import AudioError, ConfigError
from ..audio_config import POSTERIORS

DOWN = 4  # a latent has a quarter of the mel's frames and bands


class Vocoder(Protocol):
    """Makes a wave of a log-mel."""

    def __call__(self, mel: Tensor) -> Tensor:
        """Waves float32 [B, 160 T] of log-mels [B, T, 64]."""
        ...


class Codec(Protocol):
    """Sound to latent and back. A row never depends on the other rows of its batch."""

    model_id: str
    digest: str
    channels: int
    scaling: float | None  # the factor its makers state, where they state one
    vocoder_name: str

    def load(self) -> None:
        """Make ready, so that a damaged checkpoint is found before the work begins."""

    def encode(
        self, waves: Tensor, posterior: str = "mean", seeds: Sequence[int] | None = None
    ) -> Tensor: ...

    def decode(self, latents: Tensor) -> Tensor: ...

    def vocode(self, mel: Tensor) -> Tensor: ...


def name_of(codec: Codec) -> str:
    """The codec as it stands in rows: model and digest of its weights."""
    return f"{codec.model_id} {codec.digest}"


class MelCodec:
    """An AutoencoderKL over the log-mel and a vocoder: all that the kinds have in common.

    centre, spread: the log-mel is given to the autoencoder as (mel - centre) / spread.
    """

    centre, spread = 0.0, 1.0
    scaling: float | None = None
    vocoder_name = "griffin-lim"
    channels: int
    device = "cpu"

    @property
    def network(self) -> Any:
        """The AutoencoderKL, loaded, in evaluation mode, on the device."""
        raise NotImplementedError

    @property
    def vocoder(self) -> Vocoder:
        raise NotImplementedError

    def load(self) -> None:
        """Load autoencoder and vocoder."""
        _ = self.network, self.vocoder

    @torch.inference_mode()
    def encode(
        self, waves: Tensor, posterior: str = "mean", seeds: Sequence[int] | None = None
    ) -> Tensor:
        """Latents float32 [B, C, N / 640, 16] of waves [B, N] at 16 kHz; N a multiple of 640.

        Waves are centred and brought to a peak of 0.5 first. posterior: its mean, or a sample drawn
        from the seed of each row. Raises AudioError for a length that does not fit, ConfigError for
        a posterior that is none, or a sample without a seed for each row.
        """
        if posterior not in POSTERIORS:
            raise ConfigError(f"posterior = {posterior!r}: expected one of {', '.join(POSTERIORS)}")
        if waves.ndim != 2 or waves.shape[1] % (front.HOP * DOWN):
            raise AudioError(
                f"waves of shape {tuple(waves.shape)}: expected [B, N], N a multiple of "
                f"{front.HOP * DOWN} samples (40 ms)"
            )
        mel = front.log_mel(front.normalised(waves.to(self.device)))
        dist = self.posterior(mel)
        if posterior == "mean":
            return dist.mean.cpu()
        if seeds is None or len(seeds) != len(waves):
            raise ConfigError(f"posterior = 'sample' needs a seed for each of {len(waves)} waves")
        noise = [
            torch.randn(dist.mean.shape[1:], generator=torch.Generator().manual_seed(s))
            for s in seeds
        ]
        return dist.mean.cpu() + dist.std.cpu() * torch.stack(noise)

    @torch.inference_mode()
    def posterior(self, mel: Tensor) -> Any:
        """The autoencoder's posterior (diffusers' DiagonalGaussianDistribution) of log-mels."""
        from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

        given = ((mel - self.centre) / self.spread)[:, None]
        moments = self._rows(lambda x: self.network.encode(x).latent_dist.parameters, given)
        return DiagonalGaussianDistribution(moments)

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Log-mels float32 [B, 4 T, 64] of latents [B, C, T, 16], unscaled as `encode` gives them."""
        out = self._rows(lambda z: self.network.decode(z).sample, latents.float().to(self.device))
        return (out[:, 0].float() * self.spread + self.centre).cpu()

    @torch.inference_mode()
    def vocode(self, mel: Tensor) -> Tensor:
        """Waves float32 [B, 160 T] of log-mels [B, T, 64]."""
        return self._rows(self.vocoder, mel.to(self.device)).float().cpu()

    def _rows(self, compute: Callable[[Tensor], Tensor], batch: Tensor) -> Tensor:
        """`compute` of a batch; on the CPU row by row.

        There a convolution of another batch size differs in its last bits, and nothing is gained by
        batches. Griffin-Lim makes much of a last bit.
        """
        if self.device != "cpu":
            return compute(batch)
        return torch.cat([compute(row[None]) for row in batch])


class GriffinLim:
    """Least squares for the magnitudes, Griffin-Lim for the phases (audio/mel.py)."""

    def __init__(self, iterations: int = front.ITERATIONS) -> None:
        self.iterations = iterations

    def __call__(self, mel: Tensor) -> Tensor:
        return front.inverted(mel, self.iterations)
