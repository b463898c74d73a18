"""Trains clap-mini: sounds (rendered, or found in the cache), captions, two heads, weights.

    python -m qamdt.recipes.clap.train_clap --clips 1600

The loss: each sound among the captions of its batch and each caption among the sounds; the true
caption above the same with one fact exchanged; and, where they are known, tempo, key and drums. The
weights written are an exponential mean over steps. The share of tagtext-mini in the final vector is
chosen by `--words-share`, from the figures on dev that are printed for several.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ...models.clap.mini_network import ClapNet, Sizes
from ...models.clap.mini_words import bump
from ...models.fetch import registry
from ...models.tags.tempo_key import KEYS
from ...schemas.errors import ConfigError
from . import clap_data
from .clap_examples import VARIANTS, Captions, Phrases, Texts, captions_of

BATCH, REAL_SHARE = 256, 0.35
PEAK_RATE, DECAY, EMA = 1.5e-3, 0.05, 0.995
DATA = (
    "pieces arranged from music21 corpus scores and made up, rendered with TimGM6mb and FluidR3; "
    "windows of the Debian packages fretsonfire-songs-muldjord, nexuiz-music, singularity-music and "
    "planetblupi-music-ogg; captions by rules from known and measured facts"
)


@dataclass(frozen=True)
class Data:
    """Features as tensors, one row a clip, and what the losses need.

    heard [n, 500], plain [n, 466], pitch [n, 4, 12]; track int [n]: clips of one track or piece are
    not each other's wrong captions. key int [n] (-1 unknown), tempo [n, 24] (zeros: unknown),
    drums [n] (NaN unknown).
    """

    heard: Tensor
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
        return self.heard[rows], self.plain[rows], self.pitch[rows]


def load_data(cache: Path, splits: tuple[str, ...], seed: int) -> Data:
    """Everything of these splits that is in the cache, with captions."""
    features, abouts = clap_data.load(cache, ("real", *splits))
    mine = [i for i, about in enumerate(abouts) if about["split"] in splits]
    abouts = [abouts[i] for i in mine]
    if not abouts:
        raise ConfigError(f"{clap_data.folder_of(cache)} holds no clips: run clap_data first")
    arrays = {name: rows[mine].astype(np.float32) for name, rows in features.items()}
    captions = captions_of(abouts, seed)
    phrases = Phrases(clap_data.folder_of(cache))
    texts = Texts.of(captions.texts, phrases)
    real = np.array([about["kind"] == "real" for about in abouts])
    names = [about["name"] if is_real else str(i) for i, (about, is_real) in
             enumerate(zip(abouts, real, strict=True))]  # fmt: skip
    heard = np.concatenate([arrays["logits"].mean(1), arrays["hidden"].mean(1)], 1)
    return Data(
        heard=torch.from_numpy(heard), plain=torch.from_numpy(arrays["plain"]),
        pitch=torch.from_numpy(arrays["pitch"]),
        track=torch.from_numpy(np.unique(names, return_inverse=True)[1]),
        key=torch.tensor([KEYS.index(a["key"]) if a.get("key") else -1 for a in abouts]),
        tempo=torch.from_numpy(np.stack([bump(a["bpm"]) if "bpm" in a else np.zeros(24, np.float32)
                                         for a in abouts])),
        drums=torch.tensor([float(bool(a["drums"])) if "drums" in a else math.nan for a in abouts]),
        real=real, captions=captions, texts=texts, table=torch.from_numpy(phrases.table),
    )  # fmt: skip


def loss_of(net: ClapNet, data: Data, rng: np.random.Generator, parts: dict[str, float]) -> Tensor:
    """The loss of one random batch; `parts` is told its terms."""
    real, made = np.flatnonzero(data.real), np.flatnonzero(~data.real)
    few = int(BATCH * REAL_SHARE) if len(real) else 0
    rows = np.concatenate([rng.choice(real, few), rng.choice(made, BATCH - few, replace=False)])
    places = [data.captions.variants[i][int(rng.integers(VARIANTS))] for i in rows]
    swaps = [(k, *each) for k, p in enumerate(places) for each in data.captions.swaps.get(p, [])]
    heard = net.audio(*data.sounds(rows))
    sounds = net.sounds(heard)
    texts = net.texts(*data.texts.inputs([*places, *(s[1] for s in swaps)], data.table))
    right, wrong = texts[: len(rows)], texts[len(rows) :]
    scale = net.scale.exp()
    fit = scale * sounds @ right.T
    track = data.track[rows]
    same = (track[:, None] == track) & ~torch.eye(len(rows), dtype=torch.bool)
    fit = fit.masked_fill(same, -1e4)
    target = torch.arange(len(rows))
    terms = {"pairs": 0.5 * (F.cross_entropy(fit, target) + F.cross_entropy(fit.T, target))}
    if swaps:
        owner = torch.tensor([s[0] for s in swaps])
        ahead = scale * ((sounds[owner] * right[owner]).sum(1) - (sounds[owner] * wrong).sum(1))
        terms["swaps"] = 2 * F.softplus(-ahead).mean()
    key, tempo, drums = data.key[rows], data.tempo[rows], data.drums[rows]
    if (key >= 0).any():
        terms["key"] = 0.3 * F.cross_entropy(heard["key"], key, ignore_index=-1)
    told = tempo.sum(1) > 0
    terms["tempo"] = 0.3 * -(tempo * heard["tempo"].log_softmax(1))[told].sum(1).mean()
    known = ~drums.isnan()
    terms["drums"] = 0.3 * F.binary_cross_entropy_with_logits(
        2 * heard["drums"][known, 0], drums[known]
    )
    for name, term in terms.items():
        parts[name] = 0.98 * parts.get(name, term.item()) + 0.02 * term.item()
    return torch.stack(list(terms.values())).sum()


def train(data: Data, sizes: Sizes, steps: int, seed: int) -> ClapNet:
    """The averaged network after `steps` steps."""
    from tqdm import tqdm

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = ClapNet(sizes)
    both = torch.cat([data.heard, data.plain], 1)
    net.audio.mean = both.mean(0)
    net.audio.deviation = both.std(0).clamp_min(1e-3)
    mean = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(EMA)
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=PEAK_RATE, weight_decay=DECAY)
    parts: dict[str, float] = {}
    bar = tqdm(range(steps), desc="clap-mini", mininterval=15)
    for step in bar:
        for group in optimizer.param_groups:
            group["lr"] = (
                PEAK_RATE * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))
            )
        net.train()
        loss = loss_of(net, data, rng, parts)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        mean.update_parameters(net)
        if step % 50 == 0:
            bar.set_postfix({name: f"{value:.3f}" for name, value in parts.items()})
    found = mean.module
    assert isinstance(found, ClapNet)  # noqa: S101 - for the type checker
    return found.eval()


def save(net: ClapNet, path: Path, facts: dict[str, str]) -> None:
    """The weights as safetensors in float16, with sizes and `facts` as metadata."""
    from safetensors.torch import save_file

    state = {name: tensor.half().contiguous() for name, tensor in net.state_dict().items()}
    about = {"sizes": json.dumps(net.sizes.plain()), "dim": str(net.sizes.learned + 50), **facts}
    save_file(state, path, about)


def main() -> None:
    """The command: render what is missing, train, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "qamdt")
    parser.add_argument("--clips", type=int, default=1600, help="rendered ones to train on")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--words-share", type=float, default=0.35, help="share of tagtext-mini, 0..1"
    )
    parser.add_argument("--only-found", action="store_true", help="train on the clips that exist")
    parser.add_argument("--out", type=Path, default=registry.WEIGHTS / "clap-mini.safetensors")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if not given.only_found:
        clap_data.run(given.cache, given.clips)
    data = load_data(given.cache, ("train",), given.seed)
    print(f"{len(data.real)} clips to learn from, {data.real.sum()} of them real", flush=True)
    net = train(data, Sizes(), given.steps, given.seed)
    save(net, given.out, {
        "words_share": str(given.words_share), "recipe": "clap-mini-1", "data": DATA,
        "seed": str(given.seed), "steps": str(given.steps), "clips": str(len(data.real)),
        "license": "Apache-2.0",
    })  # fmt: skip
    print(f"wrote {given.out}: {given.out.stat().st_size / 1e6:.1f} MB; now run "
          "python -m qamdt.recipes.clap.clap_eval --split dev")  # fmt: skip


if __name__ == "__main__":
    main()
