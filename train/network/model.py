"""QAMDT, the quality-aware masked diffusion transformer (arXiv 2405.15863, section 3.3).

    latent -> patches -> tokens X, and before them the quality token q
    N encoder blocks    [q; visible X]      the second half receives skips of the first, crosswise
    side block          [q; X with mask tokens]: only the masked places and q take its output
    M decoder blocks    [q; X]              each receives the noisy input [q; X] as a skip
    tokens -> patches -> latent, overlaps averaged

Masking is for training. Without a mask (or with none hidden) the side block is not there, and encoder
and decoder see all. [q; X] goes through every block: q^(k+1) is made from q^k, as the paper writes it.

Shapes: B samples, P patches, K visible, S text tokens, D width; latent [B, C, T, F].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from .blocks import Block, Conditioning, FeedForward, modulated
from .config import ModelConfig
from .linear import Linear
from .masking import Mask
from .patches import Patches
from .positions import rotary_table, sincos_table
from .quality import QualityEmbedding
from .recompute import recomputed

TIME_WIDTH = 256
ROUND = (
    32  # lengths that vary with the mask are rounded up, by tokens that nobody hears: few shapes
)
MAX_PERIOD = 10000.0


class TimeEmbedding(nn.Module):
    """t float [B], 0 .. 1000 -> [B, D]: 128 cosines and 128 sines, then an MLP."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inside = Linear(TIME_WIDTH, width)
        self.out = Linear(width, width)

    def forward(self, t: Tensor) -> Tensor:
        half = TIME_WIDTH // 2
        number = torch.arange(half, dtype=torch.float32, device=t.device)
        angles = t.float()[:, None] * torch.exp(-math.log(MAX_PERIOD) / half * number)
        waves = torch.cat([angles.cos(), angles.sin()], 1).to(self.inside.weight.dtype)
        return self.out(F.silu(self.inside(waves)))


class Final(nn.Module):
    """Tokens [B, P, D] -> patches [B, P, C p_l p_f], shifted and scaled by time; zero at first."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(2, config.width))
        self.out = Linear(config.width, config.patch_size)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        shift, scale = (self.table + time[:, None]).chunk(2, 1)
        with recomputed(modulated, x, shift, scale) as normed:
            return self.out(normed)


class QAMDT(nn.Module):
    """The network.

    Two ways to less memory: `lean` computes the first product of every feed-forward again in the
    backward pass (of what is kept a third less, for 5% more time), `recompute` whole blocks.
    """

    positions: Tensor | None  # [P, D], sincos alone
    rotary: Tensor | None  # [2, 1 + P, d/2], rope2d alone

    def __init__(self, config: ModelConfig, recompute: bool = False, lean: bool = False) -> None:
        super().__init__()
        self.config, self.recompute = config, recompute
        width = config.width
        self.patches = Patches(config)
        self.embed = Linear(config.patch_size, width)
        self.quality = QualityEmbedding(width)
        self.text = Linear(config.text_width, width)
        self.time = TimeEmbedding(width)
        self.time_to_blocks = Linear(width, 6 * width)
        half = config.encoder_depth // 2
        self.encoder_in = nn.ModuleList(Block(config) for _ in range(half))
        self.encoder_out = nn.ModuleList(Block(config, skip=True) for _ in range(half))
        self.side = Block(config)
        self.decoder = nn.ModuleList(
            Block(config, skip=config.input_skip) for _ in range(config.decoder_depth)
        )
        self.final = Final(config)
        self.mask_token = nn.Parameter(torch.zeros(width))
        rows = torch.zeros(config.grid[1], width) if config.band_position else None
        self.band_position = nn.Parameter(rows) if rows is not None else None
        place = torch.zeros(config.patches, width) if config.decoder_position else None
        self.decoder_position = nn.Parameter(place) if place is not None else None
        sincos = config.position == "sincos"
        self.register_buffer(
            "positions", sincos_table(config) if sincos else None, persistent=False
        )
        self.register_buffer("rotary", None if sincos else rotary_table(config), persistent=False)
        for module in self.modules():
            if isinstance(module, FeedForward):
                module.lean = lean
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        """All of it: output and cross-attention are zero at the start, gates are not (as released)."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():  # after the linear layers in it
            if isinstance(module, Block):
                nn.init.zeros_(module.cross.out.weight)
            if isinstance(module, Block | Final):
                nn.init.normal_(module.table, std=self.config.width**-0.5)
        for part in (self.time.inside, self.time.out, self.time_to_blocks, self.text):
            nn.init.normal_(part.weight, std=0.02)
        nn.init.normal_(self.quality.levels, std=self.config.quality_std)
        nn.init.normal_(self.quality.null, std=self.config.quality_std)
        nn.init.normal_(self.mask_token, std=0.02)
        nn.init.zeros_(self.final.out.weight)

    def forward(
        self, latents: Tensor, t: Tensor, text: Tensor, text_mask: Tensor, quality: Tensor,
        mask: Mask | None = None,
    ) -> Tensor:  # fmt: skip
        """What the objective predicts, [B, C, T, F].

        latents    float [B, C, T, F], noised
        t          float [B], 0 .. 1000: the diffusion step, or 1000 x the flow's time; 0 is clean
        text       float [B, S, E], states of the text encoder
        text_mask  bool [B, S], True = a real token; at least one in every row
        quality    float [B], 1..5, any number between; NaN or 0 = not said
        mask       what the encoder does not see; None: nothing
        """
        time, dtype = self.time(t), self.embed.weight.dtype
        conditioning = Conditioning(
            self.time_to_blocks(F.silu(time)).view(len(t), 6, -1),
            self.text(text.to(dtype)),
            text_mask,
        )
        tokens = self.embed(self.patches.cut(latents.to(dtype)))
        if self.positions is not None:
            tokens = tokens + self.positions
        if self.band_position is not None:  # patches lie row by row, all bands of a time together
            tokens = tokens + self.band_position.repeat(self.config.grid[0], 1)
        sequence = torch.cat([self.quality(quality)[:, None], tokens], 1)  # [q; X], [B, 1 + P, D]
        rotary = None if self.rotary is None else self.rotary[:, None]
        if mask is None or mask.keep.shape[1] == self.config.patches:
            x = self._to_decoder(self._encode(sequence, conditioning, rotary))
        else:
            x = self._encode_visible(sequence, conditioning, rotary, mask.keep)
            x = self._interpolate(x, conditioning, rotary, mask)
        for block in self.decoder:
            x = self._run(block, x, conditioning, rotary, sequence)
        return self.patches.join(self.final(x[:, 1:], time))

    def _encode(
        self,
        x: Tensor,
        conditioning: Conditioning,
        rotary: Tensor | None,
        n_keys: int | None = None,
    ) -> Tensor:
        skips = []
        for block in self.encoder_in:
            x = self._run(block, x, conditioning, rotary, None, None, n_keys)
            skips.append(x)
        for block in self.encoder_out:
            x = self._run(block, x, conditioning, rotary, skips.pop(), None, n_keys)
        return x

    def _encode_visible(
        self, sequence: Tensor, conditioning: Conditioning, rotary: Tensor | None, keep: Tensor
    ) -> Tensor:
        """[q; X] -> [q; visible], [B, 1 + K, D], of the quality and the visible tokens alone."""
        length = 1 + keep.shape[1]
        spare = -length % ROUND
        x = F.pad(_pick(sequence, keep), (0, 0, 0, spare))
        turns = _pick_rotary(rotary, keep)
        turns = None if turns is None else F.pad(turns, (0, 0, 0, spare))
        return self._encode(x, conditioning, turns, length)[:, :length]

    def _to_decoder(self, x: Tensor) -> Tensor:
        if self.decoder_position is None:
            return x
        return x + F.pad(self.decoder_position, (0, 0, 1, 0))  # the quality token has no place

    def _interpolate(
        self, x: Tensor, conditioning: Conditioning, rotary: Tensor | None, mask: Mask
    ) -> Tensor:
        """[q; visible] -> [q; X]: masked places and q take the side block's output, visible stay.

        The block's tokens stand as [q; masked; visible], and only the first two ask: what the others
        would hear is not used, so it is not computed.
        """
        b, visible, width = x.shape[0], mask.keep.shape[1], x.shape[2]
        masked = self.config.patches - visible
        order = mask.order.roll(masked, 1)  # masked places, then visible ones
        fill = self.mask_token.to(x.dtype).expand(b, masked, width)
        x = torch.cat([x[:, :1], fill, x[:, 1:]], 1)
        if self.decoder_position is not None:
            x = x + F.pad(self.decoder_position[order], (0, 0, 1, 0))
        n_queries = min(x.shape[1], 1 + masked + -(1 + masked) % ROUND)
        filled = self._run(self.side, x, conditioning, _pick_rotary(rotary, order), None, n_queries)
        x = torch.cat([filled[:, : 1 + masked], x[:, 1 + masked :]], 1)
        return _pick(x, (mask.restore + masked) % self.config.patches)

    def _run(self, block: nn.Module, *given: object) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(block, *given, use_reentrant=False)
        return block(*given)


def _pick(x: Tensor, places: Tensor) -> Tensor:
    """The quality token and the tokens at `places` [B, K] of x [B, 1 + P, D]: [B, 1 + K, D]."""
    index = F.pad(places + 1, (1, 0))
    return x.gather(1, index[:, :, None].expand(-1, -1, x.shape[2]))


def _pick_rotary(rotary: Tensor | None, places: Tensor) -> Tensor | None:
    """The same of the rotary table [2, 1, 1 + P, d/2]: [2, B, 1 + K, d/2]."""
    return None if rotary is None else rotary[:, 0, F.pad(places + 1, (1, 0))]
