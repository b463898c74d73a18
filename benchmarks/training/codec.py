"""Figures of the codec and of generation: `make figures-codec` -> figures/codec.json.

    python -m qamdt.benchmarks.training.codec --out figures/codec.json

Tracks are those of Debian packages that no model of ours was taught (references.PACKAGES, held out):
windows of 10.24 s at a quarter and three quarters of each. Intervals are of the mean over tracks, by
bootstrap over tracks.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...audio.decode import decode_window
from ...audio.mel import RATE_HZ
from ...audio.probe import probe
from ...models.pmos.base import EmbeddedPmos16k
from ...recipes.pmos.references import sources
from ...reports.statistics import bootstrap
from ...train.codec.evaluate import RoundTrip, round_trip, times_real_time
from ...train.codec.mini import EmbeddedCodec
from ..figures import plain_figure, write_figures

COMMAND = "make figures-codec"
SECONDS, PLACES, DRAWS = 10.24, (0.25, 0.75), 4000
Found = dict[str, dict[str, Any]]


def held_out(cache: Path, places: tuple[float, ...] = PLACES) -> Iterator[tuple[str, np.ndarray]]:
    """(track, mono wave at 16 kHz) of windows of the tracks held out for the test."""
    for source in sources(cache):
        if source.split != "test" or source.path is None:
            continue
        length = probe(source.path).duration_s or 0.0
        for place in places:
            start = max(0.0, place * (length - SECONDS))
            yield source.name, decode_window(source.path, start, SECONDS).mono_at(RATE_HZ)


def by_track(names: list[str], values: list[float]) -> np.ndarray:
    """The mean of each track, in order of first appearance."""
    return np.array(
        [np.mean([v for n, v in zip(names, values, strict=True) if n == name])
         for name in dict.fromkeys(names)]
    )  # fmt: skip


def figure(values: np.ndarray, unit: str, command: str = COMMAND) -> dict[str, Any]:
    """The mean with its bootstrap interval of 95%."""
    low, high = bootstrap(lambda drawn: float(values[drawn].mean()), len(values), DRAWS)
    return {
        "value": float(values.mean()), "low": float(low), "high": float(high), "n": len(values),
        "unit": unit, "command": command,
    }  # fmt: skip


def round_trips(cache: Path) -> list[RoundTrip]:
    """Every held-out window through codec-mini, with a progress bar."""
    from tqdm import tqdm

    codec, pmos = EmbeddedCodec(), EmbeddedPmos16k()
    windows = list(held_out(cache))
    return [round_trip(codec, wave, name, pmos) for name, wave in tqdm(windows, unit="window")]


def codec_figures(trips: list[RoundTrip]) -> Found:
    """The figures of codec-mini from its round trips."""
    names = [t.name for t in trips]

    def of(unit: str, values: list[float]) -> dict[str, Any]:
        return figure(by_track(names, values), unit)

    return {
        "roundtrip_mel_l1": of("ln", [t.mel_l1 for t in trips]),
        "roundtrip_stft": of("distance", [t.stft for t in trips]),
        "griffinlim_stft": of("distance", [t.stft_mel for t in trips]),
        "roundtrip_pmos": of("MOS", [t.pmos for t in trips]),
        "griffinlim_pmos": of("MOS", [t.pmos_mel for t in trips]),
        "wave16k_pmos": of("MOS", [t.pmos_wave for t in trips]),
        "roundtrip_pmos_gap": of("MOS", [t.pmos_mel - t.pmos for t in trips]),
        "latent_std": latent_std(trips),
    }


def latent_std(trips: list[RoundTrip]) -> dict[str, Any]:
    """Deviation of the second half's latents under the scale measured on the first half's."""
    tracks = list(dict.fromkeys(t.name for t in trips))
    first, second = (
        [t for t in trips if (tracks.index(t.name) % 2 == 0) == even] for even in (True, False)
    )
    scale = 1 / deviation(first)
    return plain_figure(scale * deviation(second), len(second), "deviation after scaling", COMMAND)


def deviation(trips: list[RoundTrip]) -> float:
    """Standard deviation over all numbers of latents of equal size, from their own moments."""
    means = np.array([t.latent_mean for t in trips])
    square = np.array([t.latent_std for t in trips]) ** 2 + means**2
    return float(np.sqrt(square.mean() - means.mean() ** 2))


def generation_s(threads: int) -> float:
    """Seconds to make one clip of 10.24 s: an untrained `nano`, 50 steps, guidance, codec, vocoder."""
    from ...train.diffusion.objective import Objective, ObjectiveConfig
    from ...train.diffusion.solvers import SampleConfig, sample
    from ...train.network.config import sized
    from ...train.network.model import QAMDT

    torch.set_num_threads(threads)
    network, codec = QAMDT(sized("nano", text_width=384)).eval(), EmbeddedCodec()
    codec.load()
    text, mask = torch.randn(1, 16, 384), torch.ones(1, 16, dtype=torch.bool)
    null, null_mask = torch.randn(1, 2, 384), torch.ones(1, 2, dtype=torch.bool)
    took = []
    for seed in range(3):
        start = time.perf_counter()
        latent = sample(
            network, Objective(ObjectiveConfig()), text, mask, 5.0,
            SampleConfig(steps=50, guidance=3.5), [seed], null, null_mask,
        )  # fmt: skip
        codec.vocode(codec.decode(latent))
        took.append(time.perf_counter() - start)
    return float(np.median(took))


def speed_figures(threads: int) -> Found:
    """Times real time of the encoder, and seconds of a generation, with so many threads."""
    told = f"{threads} thread" + "s" * (threads > 1)
    speed, seconds = times_real_time(EmbeddedCodec()), generation_s(threads)
    clip = f"s for 10.24 s, nano, 50 steps, guidance, {told}"
    return {
        "encode_x_realtime": plain_figure(speed, 7, f"x real time, {told}", COMMAND),
        "generate_s": plain_figure(seconds, 3, clip, COMMAND),
    }


def main() -> None:
    """The command: see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "qamdt")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=["speed", "sound"])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    found: Found = {}
    if given.only != "sound":
        found |= speed_figures(given.threads)
    if given.only != "speed":
        found |= codec_figures(round_trips(given.cache))
    for name, value in found.items():
        low, high = value["low"], value["high"]
        told = "" if low is None else f"[{low:.3f}, {high:.3f}]"
        print(f"{name:24} {value['value']:9.3f} {told:18} n={value['n']:<4} {value['unit']}")
    if given.out:
        write_figures(given.out, found)


if __name__ == "__main__":
    main()
