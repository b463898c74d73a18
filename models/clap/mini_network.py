"""The networks of clap-mini: small heads over musicnn, `clap_front`, MiniLM and `clap_words`.

Both sides end in parts side by side: a learned part (unit length), and four plain parts, each with
a gain: tempo (24 places), key (24), mode (1), drums (1). In a plain part a text stands where it says
so and is zero where it says nothing; a sound stands where it is heard. So a caption's "in a minor
key" can only be answered by what was heard of the mode. The whole is scaled to unit length.

Legend of shapes: B sounds or texts, N phrases of all texts.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .mini_words import FLAGS, SIZE, TEMPI

HEARD = 500  # musicnn: 100 logits, 400 of the last hidden layer
PLAIN, RHYTHM = 466, 265  # clap_front: timbre and rhythm; the last RHYTHM of them are rhythm
PHRASE = 384  # MiniLM


@dataclass(frozen=True)
class Sizes:
    """Of the learned part, the hidden layers, and the share dropped in training."""

    learned: int = 96
    hidden: int = 384
    drop: float = 0.3

    def plain(self) -> dict[str, Any]:
        return asdict(self)


class KeyNet(nn.Module):
    """pitch [B, 4, 12] -> logits [B, 24], as `tonal.KEYS`: one small network asks each tonic.

    The same network looks at the pitch classes from each of the 12 tonics, so music transposed
    gives logits transposed.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.ask = nn.Sequential(
            nn.Linear(48, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2)
        )

    def forward(self, pitch: Tensor) -> Tensor:
        rotated = torch.stack([pitch.roll(-tonic, 2) for tonic in range(12)], 1)  # [B, 12, 4, 12]
        return self.ask(rotated.sqrt().flatten(2) * 4).transpose(1, 2).flatten(1)


class AudioHead(nn.Module):
    """(musicnn [B, 500], plain [B, 466], pitch [B, 4, 12]) -> parts."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", torch.zeros(HEARD + PLAIN))
        self.register_buffer("deviation", torch.ones(HEARD + PLAIN))
        self.key = KeyNet()
        self.tempo = nn.Sequential(
            nn.Dropout(0.1),
            nn.Linear(RHYTHM, 128),
            nn.GELU(),
            nn.Dropout(0.2),
            nn.Linear(128, TEMPI),
        )
        self.learned = nn.Sequential(
            nn.Dropout(0.15), nn.Linear(HEARD + PLAIN + 24 + TEMPI, sizes.hidden), nn.GELU(),
            nn.Dropout(sizes.drop), nn.Linear(sizes.hidden, sizes.hidden), nn.GELU(),
            nn.Dropout(sizes.drop), nn.Linear(sizes.hidden, sizes.learned + 1),
        )  # fmt: skip

    def forward(self, tagger_features: Tensor, plain: Tensor, pitch: Tensor) -> dict[str, Tensor]:
        """learned [B, D] of unit length; logits: key [B, 24], tempo [B, 24], drums [B, 1]."""
        x = (torch.cat([tagger_features, plain], 1) - self.mean) / self.deviation
        x = x.clamp(-5, 5)
        key, tempo = self.key(pitch), self.tempo(x[:, -RHYTHM:])
        known = torch.cat([key.softmax(1), tempo.softmax(1)], 1).detach() * 4
        out = self.learned(torch.cat([x, known], 1))
        return {"learned": F.normalize(out[:, :-1], dim=1), "key": key, "tempo": tempo,
                "drums": out[:, -1:]}  # fmt: skip


class TextHead(nn.Module):
    """(phrases [N, 384], owner [N], words [B, 61]) -> learned part [B, D] of unit length."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.phrase = nn.Sequential(nn.Dropout(0.1), nn.Linear(PHRASE, 256), nn.GELU())
        self.learned = nn.Sequential(
            nn.Linear(512 + SIZE, sizes.hidden), nn.GELU(), nn.Dropout(sizes.drop / 2),
            nn.Linear(sizes.hidden, sizes.learned),
        )  # fmt: skip

    def forward(self, phrases: Tensor, owner: Tensor, words: Tensor) -> Tensor:
        each = self.phrase(phrases * 8)  # [N, 256]
        wide = owner[:, None].expand(-1, each.shape[1])
        zeros = each.new_zeros(len(words), each.shape[1])
        mean = zeros.scatter_reduce(0, wide, each, "mean", include_self=False)
        most = zeros.scatter_reduce(0, wide, each, "amax", include_self=False)
        scaled = torch.cat([words[:, :-FLAGS] * 4, words[:, -FLAGS:]], 1)
        return F.normalize(self.learned(torch.cat([mean, most, scaled], 1)), dim=1)


class ClapNet(nn.Module):
    """Both heads, and the gains of the plain parts."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.audio = AudioHead(sizes)
        self.text = TextHead(sizes)
        self.gain = nn.Parameter(torch.tensor([1.2, 0.8, 0.5, 0.5]))  # tempo, key, mode, drums
        self.scale = nn.Parameter(torch.tensor(2.7))  # log of the inverse temperature

    def sounds(self, parts: dict[str, Tensor]) -> Tensor:
        """The parts of `audio` as unit vectors [B, D + 50]."""
        key = parts["key"].softmax(1)
        mode = key[:, :12].sum(1, keepdim=True) - key[:, 12:].sum(1, keepdim=True)
        plain = (parts["tempo"].softmax(1) - 1 / TEMPI, key - 1 / 24, mode, parts["drums"].tanh())
        return self._together(parts["learned"], plain)

    def texts(self, phrases: Tensor, owner: Tensor, words: Tensor) -> Tensor:
        """Unit vectors [B, D + 50]; `words` are rows of `clap_words.read`."""
        tempo, key, flags = words.split([TEMPI, 24, FLAGS], 1)
        says = [part.sum(1, keepdim=True) for part in (tempo, key)]
        mode, drums = flags[:, 7:8] - flags[:, 8:9], flags[:, 10:11] - flags[:, 9:10]
        plain = (tempo - says[0] / TEMPI, key - says[1] / 24, mode, drums)
        return self._together(self.text(phrases, owner, words), plain)

    def _together(self, learned: Tensor, plain: tuple[Tensor, ...]) -> Tensor:
        scaled = [part * gain for part, gain in zip(plain, self.gain, strict=True)]
        return F.normalize(torch.cat([learned, *scaled], 1), dim=1)
