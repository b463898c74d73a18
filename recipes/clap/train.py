"""Trains clap-mini: sounds (rendered, or read from the cache), captions, two heads, weights.

    python -m qamdt.recipes.clap.train --clips 1600

The loss: each sound among the captions of its batch and each caption among the sounds; the true
caption above the same with one fact exchanged; and, where they are known, tempo, key and drums. The
weights written are an EMA over steps. The share of tagtext-mini in the final vector is set by
`--words-share`, from the figures on dev that are printed for several. A run that is stopped goes on
from its last checkpoint in the cache.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...models.clap.mini_network import ClapNet, Sizes
from ...models.clap.mini_words import bump
from ...models.fetch import registry
from ...models.tags.tempo_key import KEYS
from ...schemas.errors import ConfigError
from ..common.checkpointed import Checkpointed, cosine_rate
from ..common.command import recipe_parser
from .data import folder_of, load, make_all
from .examples import VARIANTS, Captions, Phrases, Texts, captions_of

BATCH, REAL_SHARE = 256, 0.35
PEAK_RATE, WARMUP, WEIGHT_DECAY, EMA = 1.5e-3, 100, 0.05, 0.995
SAVE_EVERY, REPORT_EVERY = 200, 50
DATA = (
    "pieces arranged from music21 corpus scores and made up, rendered with TimGM6mb and FluidR3; "
    "windows of the Debian packages fretsonfire-songs-muldjord, nexuiz-music, singularity-music and "
    "planetblupi-music-ogg; captions by rules from known and measured facts"
)


@dataclass(frozen=True)
class Data:
    """Features as tensors, one row a clip, and what the losses need.

    musicnn [n, 500], plain [n, 466], pitch [n, 4, 12]; track int [n]: clips of one track or piece are
    not each other's wrong captions. key int [n] (-1 unknown), tempo [n, 24] (zeros: unknown),
    drums [n] (NaN unknown).
    """

    musicnn: Tensor
    plain: Tensor
    pitch: Tensor
    track: Tensor
    key: Tensor
    tempo: Tensor
    drums: Tensor
    real: np.ndarray
    captions: Captions
    texts: Texts
    table: Tensor

    def sounds(self, rows: Any) -> tuple[Tensor, Tensor, Tensor]:
        return self.musicnn[rows], self.plain[rows], self.pitch[rows]


def load_data(cache: Path, splits: tuple[str, ...], seed: int) -> Data:
    """Everything of these splits that is in the cache, with captions."""
    features, abouts = load(cache, ("real", *splits))
    mine = [i for i, about in enumerate(abouts) if about["split"] in splits]
    abouts = [abouts[i] for i in mine]
    if not abouts:
        raise ConfigError(
            f"{folder_of(cache)} holds no clips: run python -m qamdt.recipes.clap.data first"
        )
    arrays = {name: rows[mine].astype(np.float32) for name, rows in features.items()}
    captions = captions_of(abouts, seed)
    phrases = Phrases(folder_of(cache))
    texts = Texts.of(captions.texts, phrases)
    real = np.array([about["kind"] == "real" for about in abouts])
    names = [about["name"] if is_real else str(i) for i, (about, is_real) in
             enumerate(zip(abouts, real, strict=True))]  # fmt: skip
    musicnn = np.concatenate([arrays["logits"].mean(1), arrays["hidden"].mean(1)], 1)
    return Data(
        musicnn=torch.from_numpy(musicnn), plain=torch.from_numpy(arrays["plain"]),
        pitch=torch.from_numpy(arrays["pitch"]),
        track=torch.from_numpy(np.unique(names, return_inverse=True)[1]),
        key=torch.tensor([KEYS.index(a["key"]) if a.get("key") else -1 for a in abouts]),
        tempo=torch.from_numpy(np.stack([bump(a["bpm"]) if "bpm" in a else np.zeros(24, np.float32)
                                         for a in abouts])),
        drums=torch.tensor([float(bool(a["drums"])) if "drums" in a else math.nan for a in abouts]),
        real=real, captions=captions, texts=texts, table=torch.from_numpy(phrases.table),
    )  # fmt: skip


def losses(net: ClapNet, data: Data, rng: np.random.Generator) -> dict[str, Tensor]:
    """The terms of the loss of one random batch; the loss is their sum."""
    real, rendered = np.flatnonzero(data.real), np.flatnonzero(~data.real)
    few = int(BATCH * REAL_SHARE) if len(real) else 0
    rows = np.concatenate([rng.choice(real, few), rng.choice(rendered, BATCH - few, replace=False)])
    places = [data.captions.variants[i][int(rng.integers(VARIANTS))] for i in rows]
    swaps = [(k, *each) for k, p in enumerate(places) for each in data.captions.swaps.get(p, [])]
    outputs = net.audio(*data.sounds(rows))
    sounds = net.sounds(outputs)
    texts = net.texts(*data.texts.inputs([*places, *(s[1] for s in swaps)], data.table))
    right, wrong = texts[: len(rows)], texts[len(rows) :]
    scale = net.scale.exp()
    logits = scale * sounds @ right.T
    track = data.track[rows]
    same = (track[:, None] == track) & ~torch.eye(len(rows), dtype=torch.bool)
    logits = logits.masked_fill(same, -1e4)
    target = torch.arange(len(rows))
    terms = {"pairs": 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))}
    if swaps:
        owner = torch.tensor([s[0] for s in swaps])
        ahead = scale * ((sounds[owner] * right[owner]).sum(1) - (sounds[owner] * wrong).sum(1))
        terms["swaps"] = 2 * F.softplus(-ahead).mean()
    key, tempo, drums = data.key[rows], data.tempo[rows], data.drums[rows]
    if (key >= 0).any():
        terms["key"] = 0.3 * F.cross_entropy(outputs["key"], key, ignore_index=-1)
    paced = tempo.sum(1) > 0
    terms["tempo"] = 0.3 * -(tempo * outputs["tempo"].log_softmax(1))[paced].sum(1).mean()
    known = ~drums.isnan()
    terms["drums"] = 0.3 * F.binary_cross_entropy_with_logits(
        2 * outputs["drums"][known, 0], drums[known]
    )
    return terms


class Training(Checkpointed):
    """The training of clap-mini. Reports show a running mean of each term."""

    def __init__(self, data: Data, sizes: Sizes, steps: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.data, self.steps = data, steps
        net = ClapNet(sizes)
        both = torch.cat([data.musicnn, data.plain], 1)
        net.audio.mean = both.mean(0)
        net.audio.deviation = both.std(0).clamp_min(1e-3)
        self.means: dict[str, float] = {}
        super().__init__(net, EMA, PEAK_RATE, WEIGHT_DECAY, seed)

    def step(self) -> Mapping[str, float]:
        """One step; the running means of the terms of its loss."""
        self.net.train()
        terms = losses(cast(ClapNet, self.net), self.data, self.rng)
        loss = torch.stack(list(terms.values())).sum()
        self.descend(loss, cosine_rate(self.done, self.steps, PEAK_RATE, WARMUP))
        for name, term in terms.items():
            self.means[name] = 0.98 * self.means.get(name, term.item()) + 0.02 * term.item()
        return self.means


def save(net: ClapNet, path: Path, facts: dict[str, str]) -> None:
    """The weights as safetensors in float16, with sizes and `facts` as metadata."""
    from safetensors.torch import save_file

    state = {name: tensor.half().contiguous() for name, tensor in net.state_dict().items()}
    about = {"sizes": json.dumps(net.sizes.plain()), "dim": str(net.sizes.learned + 50), **facts}
    save_file(state, path, about)


def main() -> None:
    """The command: render what is missing, train, write the weights."""
    weights = registry.WEIGHTS / "clap-mini.safetensors"
    parser = recipe_parser(__doc__, seed=1, out=weights)
    parser.add_argument("--clips", type=int, default=1600, help="rendered ones to train on")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--words-share", type=float, default=0.35, help="share of tagtext-mini, 0..1"
    )
    parser.add_argument("--only-cached", action="store_true", help="train on the clips that exist")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if not args.only_cached:
        make_all(args.cache, args.clips)
    data = load_data(args.cache, ("train",), args.seed)
    clips = len(data.real)
    print(f"{clips} clips to learn from, {data.real.sum()} of them real", flush=True)
    checkpoint = folder_of(args.cache) / f"checkpoint-{args.seed}-{args.steps}-{clips}.pt"
    training = Training(data, Sizes(), args.steps, args.seed)
    save(training.run(args.steps, checkpoint, SAVE_EVERY, REPORT_EVERY), args.out, {
        "words_share": str(args.words_share), "recipe": "clap-mini-1", "data": DATA,
        "seed": str(args.seed), "steps": str(args.steps), "clips": str(clips),
        "license": "Apache-2.0",
    })  # fmt: skip
    print(f"wrote {args.out}: {args.out.stat().st_size / 1e6:.1f} MB; now run "
          "python -m qamdt.recipes.clap.evaluate --split dev")  # fmt: skip


if __name__ == "__main__":
    main()
