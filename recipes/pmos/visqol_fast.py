"""ViSQOL labels, fast: visqol-python in audio mode with the gammatone energies taken from the FFT.

Most of ViSQOL's time goes into running 32 fourth-order filters over every frame of 80 ms only to
take the energy of what comes out. By Parseval that energy is the frame's FFT power under the
filters' squared magnitude, one matrix product for all frames. Beside the package's own filters this
changes labels by about .0005 MOS. Pairs must be aligned already: no global alignment.

`quick` looks for each patch of .6 s within .6 s of its place instead of anywhere in the clip, and
does not align it again: four times faster, RMS .045 MOS from the full search (150 labels), most of it
where music repeats itself and the full search finds a better copy elsewhere.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

RATE_HZ = 48000
FRAME, HOP, FFT = 3840, 960, 4096  # 80 ms, a quarter of it, the next power of two
BANDS, LOWEST_HZ = 32, 50.0


@lru_cache(maxsize=1)
def gammatone_power() -> np.ndarray:
    """|H|^2 of ViSQOL's gammatone filters, float32 [BANDS, FFT / 2 + 1], low bands first."""
    from visqol.gammatone import make_erb_filters

    coefficients = make_erb_filters(RATE_HZ, BANDS, LOWEST_HZ, RATE_HZ / 2).filter_coeffs[:, ::-1]
    a0, a11, a12, a13, a14, a2, b0, b1, b2, gain = coefficients[:, :, None]
    z = np.exp(-2j * np.pi * np.arange(FFT // 2 + 1) / FFT)[None]
    response = 1 / gain / (b0 + b1 * z + b2 * z**2) ** 4
    for middle in (a11, a12, a13, a14):
        response = response * (a0 + middle * z + a2 * z**2)
    return (np.abs(response) ** 2).astype(np.float32)


@lru_cache(maxsize=1)
def _hann() -> np.ndarray:
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / (FRAME - 1))).astype(np.float32)


def gammatone_rms(samples: np.ndarray) -> np.ndarray:
    """RMS of each band in each frame, float64 [BANDS, frames], of mono `samples` at RATE_HZ."""
    import scipy.fft

    frames = np.lib.stride_tricks.sliding_window_view(samples.astype(np.float32), FRAME)[::HOP]
    power = np.abs(scipy.fft.rfft(frames * _hann(), FFT, axis=1)) ** 2  # [frames, FFT / 2 + 1]
    power[:, 1:-1] *= 2  # the other half of the spectrum
    energy = gammatone_power() @ power.T / (FFT * FRAME)
    return np.sqrt(np.maximum(energy, 0)).astype(np.float64)


class FastVisqol:
    """`measure(reference, degraded)`: MOS-LQO and the similarities of the 32 bands."""

    def __init__(self, quick: bool = False) -> None:
        import visqol
        from visqol.gammatone import GammatoneSpectrogramBuilder, Spectrogram
        from visqol.visqol_manager import VisqolManager

        outer = self

        class Builder(GammatoneSpectrogramBuilder):  # the package's pipeline with our energies
            def build(self, signal, window):  # type: ignore[no-untyped-def]
                if len(signal.data) <= window.size:
                    raise ValueError("too few samples for one frame")
                known = outer._reference
                if known is not None and known[0] is signal.data:
                    return Spectrogram(known[1].copy())
                return Spectrogram(gammatone_rms(signal.data))

        self._reference: tuple[np.ndarray, np.ndarray] | None = None
        self._manager = VisqolManager()
        model = Path(visqol.__file__).parent / "model" / "libsvm_nu_svr_model.txt"
        self._manager.init(
            str(model),
            search_window=1 if quick else 8,  # patches to either side
            disable_global_alignment=True,
            disable_realignment=quick,
        )
        self._manager.spect_builder = Builder(BANDS, LOWEST_HZ)

    def measure(
        self, reference: np.ndarray, degraded: list[np.ndarray]
    ) -> list[tuple[float, np.ndarray]]:
        """(MOS-LQO 1..5 or NaN, similarity float32 [BANDS]) of each of `degraded`, mono, 48 kHz."""
        from visqol.audio_utils import AudioSignal

        clean = AudioSignal(reference, RATE_HZ)
        self._reference = clean.data, gammatone_rms(clean.data)
        results = []
        for samples in degraded:
            result = self._manager.run_from_signals(clean, AudioSignal(samples, RATE_HZ))
            results.append((float(result.moslqo), np.asarray(result.fvnsim, np.float32)))
        self._reference = None
        return results
