"""Figures of the codec and of generation: `make figures-codec` -> figures/codec.json.

    python -m qamdt.benchmarks.training.codec --out figures/codec.json [--only speed,sound]

Tracks are those of Debian packages that no model of ours was trained on (references.PACKAGES, held
out): windows of 10.24 s at a quarter and three quarters of each. Intervals are of the mean over
tracks, by bootstrap over tracks.

roundtrip_mel_l1, roundtrip_stft, roundtrip_pmos     codec-mini and vocoder against the sound
griffinlim_stft, griffinlim_pmos, roundtrip_pmos_gap the sound's own mel through Griffin-Lim
wave16k_pmos                                         the sound at 16 kHz
latent_std                                           deviation of scaled latents
encode_x_realtime, generate_s                        speed of the encoder, of a generation
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from ...audio.decode import decode_window
from ...audio.mel import RATE_HZ
from ...audio.probe import probe
from ...models.pmos.base import EmbeddedPmos16k
from ...pipeline.progress import Progress
from ...recipes.common.command import default_cache
from ...recipes.common.figures import mean_figure
from ...recipes.pmos.references import sources
from ...train.codec.evaluate import RoundTrip, round_trip, times_real_time
from ...train.codec.mini import EmbeddedCodec
from ..figures import Figure, Figures, Only, figure, measure_parts

COMMAND = "make figures-codec"
SECONDS, PLACES = 10.24, (0.25, 0.75)


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


def round_trips(cache: Path) -> list[RoundTrip]:
    """Every held-out window through codec-mini, with a progress bar."""
    codec, pmos = EmbeddedCodec(), EmbeddedPmos16k()
    windows = list(held_out(cache))
    trips = []
    with Progress("windows", len(windows)) as bar:
        for name, wave in windows:
            trips.append(round_trip(codec, wave, name, pmos))
            bar.advance(1)
    return trips


def codec_figures(trips: list[RoundTrip]) -> Figures:
    """The figures of codec-mini from its round trips."""
    names = [t.name for t in trips]

    def of(unit: str, values: list[float]) -> Figure:
        return mean_figure(by_track(names, values), unit, COMMAND)

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


def latent_std(trips: list[RoundTrip]) -> Figure:
    """Deviation of the second half's latents under the scale measured on the first half's."""
    tracks = list(dict.fromkeys(t.name for t in trips))
    first, second = (
        [t for t in trips if (tracks.index(t.name) % 2 == 0) == even] for even in (True, False)
    )
    scale = 1 / deviation(first)
    return figure(scale * deviation(second), len(second), "deviation after scaling", COMMAND)


def deviation(trips: list[RoundTrip]) -> float:
    """Standard deviation over all numbers of latents of equal size, from their own moments."""
    means = np.array([t.latent_mean for t in trips])
    square = np.array([t.latent_std for t in trips]) ** 2 + means**2
    return float(np.sqrt(square.mean() - means.mean() ** 2))


def generation_s(threads: int) -> float:
    """Seconds to make one clip of 10.24 s: an untrained `nano`, 50 steps, guidance, codec, vocoder."""
    from ...train.diffusion.config import ObjectiveConfig, SampleConfig
    from ...train.diffusion.objective import Objective
    from ...train.diffusion.solvers import sample
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


def speed_figures(threads: int) -> Figures:
    """Times real time of the encoder, and seconds of a generation, with so many threads."""
    width = f"{threads} thread" + "s" * (threads > 1)
    speed, seconds = times_real_time(EmbeddedCodec()), generation_s(threads)
    clip = f"s for 10.24 s, nano, 50 steps, guidance, {width}"
    return {
        "encode_x_realtime": figure(speed, 7, f"x real time, {width}", COMMAND),
        "generate_s": figure(seconds, 3, clip, COMMAND),
    }


def _speed(threads: int, work: Path) -> Figures:
    return speed_figures(threads)


def _sound(cache: Path, work: Path) -> Figures:
    return codec_figures(round_trips(cache))


def main(
    out: Annotated[Path | None, typer.Option(help="write the figures here as JSON")] = None,
    only: Only = "",
    cache: Annotated[Path | None, typer.Option(help="music, labels, features")] = None,
    threads: Annotated[int, typer.Option(help="threads of torch")] = 1,
) -> None:
    """Measure the parts named and put them into the file; figures of other parts stay."""
    torch.set_num_threads(threads)
    folder = cache or default_cache()
    measure_parts({"speed": partial(_speed, threads), "sound": partial(_sound, folder)}, only, out)


if __name__ == "__main__":
    typer.run(main)
