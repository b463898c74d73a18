"""Tiny real codecs: random weights in the layouts that the adapters read."""

from __future__ import annotations

from pathlib import Path

import torch

from qamdt.pipeline.dataset import Dataset
from qamdt.pipeline.job import output
from qamdt.pipeline.views import connect
from qamdt.schemas.tables import Caption, Decision, Level, Pmos
from qamdt.train.codec.mini_network import MiniConfig, build, write_weights

PREFIXES = (None, "low quality", "high quality")


def tiny_diffusers(folder: Path, **vocoder: object) -> Path:
    """A folder with vae/ and vocoder/, saved by diffusers and transformers themselves."""
    from diffusers import AutoencoderKL
    from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

    torch.manual_seed(0)
    AutoencoderKL(
        in_channels=1, out_channels=1, down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3, block_out_channels=(8, 8, 16), latent_channels=8,
        norm_num_groups=4, sample_size=64, scaling_factor=0.5,
    ).save_pretrained(folder / "vae")  # fmt: skip
    settings = {
        "model_in_dim": 64, "sampling_rate": 16000, "upsample_initial_channel": 32,
        "upsample_rates": [5, 4, 2, 2, 2], "upsample_kernel_sizes": [16, 16, 8, 4, 4],
        "resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1, 3]],
        "normalize_before": False,
    }  # fmt: skip
    SpeechT5HifiGan(SpeechT5HifiGanConfig(**settings | vocoder)).save_pretrained(folder / "vocoder")
    return folder


def tiny_mini(path: Path) -> Path:
    """A file like codec-mini's, with random weights."""
    torch.manual_seed(0)
    config = MiniConfig(widths=(8, 8, 8), groups=4)
    write_weights(build(config), config, path, {"recipe": "test"})
    return path


def judge(dataset: Dataset, captions: tuple[str, ...], drop: int = 0) -> list[str]:
    """Give every clip a p-MOS, level, caption and decision; `drop` of them are not kept.

    Returns the clip_ids that are kept, in order.
    """
    with connect(dataset) as con:
        ids = [i for (i,) in con.execute("SELECT clip_id FROM clips ORDER BY 1").fetchall()]
    made: list[tuple[type, tuple[str, ...], list[object]]] = [
        (Pmos, ("clips",), [Pmos(clip_id=i, pmos=3.0 + k % 5 / 4) for k, i in enumerate(ids)]),
        (
            Level, ("pmos",),
            [
                Level(clip_id=i, quality_level=k % 5 + 1, quality_prefix=PREFIXES[k % 3])
                for k, i in enumerate(ids)
            ],
        ),
        (
            Caption, ("clips",),
            [Caption(clip_id=i, refined_caption=captions[k % len(captions)]) for k, i in enumerate(ids)],
        ),
        (Decision, ("levels",), [Decision(clip_id=i, kept=k >= drop) for k, i in enumerate(ids)]),
    ]  # fmt: skip
    for cls, reads, rows in made:
        out = output(dataset, cls, 1, {"captions": captions, "drop": drop}, reads)
        dataset.commit(cls, out.fingerprint, rows)
        dataset.adopt(out.table, out.fingerprint, out.about)
    return ids[drop:]


def captioned(dataset: Dataset, captions: tuple[str, ...]) -> None:
    """Give the clips captions of their own, as ingest does from a manifest."""
    import dataclasses

    from qamdt.schemas.tables import Clip

    names = [f.name for f in dataclasses.fields(Clip)]
    with connect(dataset) as con:
        rows = con.execute("SELECT * FROM clips_history ORDER BY clip_id").fetchall()
        columns = [c[0] for c in con.description]
    made = []
    for k, row in enumerate(rows):
        known = {n: v for n, v in zip(columns, row, strict=True) if n in names}
        made.append(Clip(**known | {"caption": captions[k % len(captions)]}))
    state = dataset.current("clips")
    assert state is not None
    for part in dataset.parts("clips", state.fingerprint):
        part.unlink()
    dataset.commit(Clip, state.fingerprint, made)
