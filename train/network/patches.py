"""Latent <-> patches, with overlap: the patches of a padded latent, and the average that undoes it.

Patch (i, j) covers frames i (p_l - o_l) .. + p_l and bands j (p_f - o_f) .. + p_f of the latent,
zero-padded to P = n_l n_f patches (paper, section 3.3). Of an odd padding the end has one more.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import ModelConfig


class Patches(nn.Module):
    """`cut` and `join`; `join(cut(x)) == x` for every size, patch and overlap.

    Shapes: latent [B, C, T, F]; patches [B, P, C p_l p_f], in order time-major, numbers of a patch in
    order channel, frame, band.
    """

    counts: Tensor  # [1, 1, T, F]: in how many patches a place lies

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.shape, self.grid, self.patch = config.shape, config.grid, config.patch
        self.step = tuple(p - o for p, o in zip(config.patch, config.overlap, strict=True))
        self.padded = tuple(
            (n - 1) * s + p for n, s, p in zip(self.grid, self.step, self.patch, strict=True)
        )
        spare = [n - size for n, size in zip(self.padded, self.shape[1:], strict=True)]
        before = [n // 2 for n in spare]
        self.padding = (before[1], spare[1] - before[1], before[0], spare[0] - before[0])
        self.first = before
        self.plain = config.overlap == (0, 0)
        self.register_buffer("counts", self._counts(), persistent=False)

    def cut(self, latents: Tensor) -> Tensor:
        """[B, C, T, F] -> [B, P, C p_l p_f]."""
        x = F.pad(latents, self.padding) if any(self.padding) else latents
        if not self.plain:
            return F.unfold(x, self.patch, stride=self.step).transpose(1, 2)
        b, c = x.shape[:2]
        (nl, nf), (pl, pf) = self.grid, self.patch
        x = x.reshape(b, c, nl, pl, nf, pf).permute(0, 2, 4, 1, 3, 5)
        return x.reshape(b, nl * nf, c * pl * pf)

    def join(self, patches: Tensor) -> Tensor:
        """[B, P, C p_l p_f] -> [B, C, T, F]; where patches overlap, their mean."""
        x = self._sum(patches)
        if any(self.padding):
            t, f = self.first
            x = x[:, :, t : t + self.shape[1], f : f + self.shape[2]]
        return x if self.plain else x / self.counts.to(x.dtype)

    def _sum(self, patches: Tensor) -> Tensor:
        """The padded latent in which every patch is added at its place."""
        if not self.plain:
            columns = patches.transpose(1, 2)
            return F.fold(columns, self.padded, self.patch, stride=self.step)
        b = patches.shape[0]
        (nl, nf), (pl, pf) = self.grid, self.patch
        x = patches.reshape(b, nl, nf, -1, pl, pf).permute(0, 3, 1, 4, 2, 5)
        return x.reshape(b, -1, nl * pl, nf * pf)

    def _counts(self) -> Tensor:
        ones = torch.ones(1, self.grid[0] * self.grid[1], self.patch[0] * self.patch[1])
        t, f = self.first
        return self._sum(ones)[:, :, t : t + self.shape[1], f : f + self.shape[2]]
