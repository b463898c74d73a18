"""CLAP from a folder in Hugging Face's layout, e.g. a local copy of laion/larger_clap_music.

Sounds are cut into windows of exactly ten seconds, so that no library crops at random: the first
from the start, the last up to the end, evenly spread between; a shorter sound is repeated to ten
seconds. The vector of a sound is the normalised mean over its windows.

Source: Wu et al. 2023, arXiv 2211.06687; transformers' ClapModel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.sound import Sound
from ...schemas.errors import EndOfAudio, ModelError, WeightsMissing
from ..fetch.hf_folder import LEAST_VOCABULARY, check_tokenizer, folder_digest, with_recipe
from ..fetch.pretrained import load_pretrained
from .self_check import check_captions
from .vectors import unit_rows

RECIPE = 2  # of windows, spectra, tokens: another one gives other vectors, so it is in the digest
WINDOW_S = 10
WINDOWS_AT_ONCE = 8
TEXTS_AT_ONCE = 64


class ClapMatch:
    """A CLAP checkpoint. Loaded at first use; looking for its files is done at once.

    Loading raises ModelError where tensors are missing, or where unrelated captions are alike.

    A sound's row does not depend on its batch-mates beyond float rounding (1e-5).
    """

    longest_text = 512  # tokens

    def __init__(
        self, folder: Path, device: str = "cpu", least_vocabulary: int = LEAST_VOCABULARY
    ) -> None:
        """Raises WeightsMissing when `folder` holds no model."""
        self._folder = folder.expanduser()
        # transformers 5 writes processor_config.json, earlier ones preprocessor_config.json
        parts = ["config.json", "processor_config.json", "preprocessor_config.json"]
        has_config, *has_processor = [(self._folder / part).is_file() for part in parts]
        if not has_config or not any(has_processor):
            raise WeightsMissing(
                f"model clap@{folder}: no config.json or no processor_config.json there; give a "
                "folder made by `ClapModel.save_pretrained` and `ClapProcessor.save_pretrained`"
            )
        self.model_id = f"clap:{self._folder.resolve().name}"
        self.digest = with_recipe(folder_digest(self._folder), RECIPE)
        self._device = device
        self._least_vocabulary = least_vocabulary

    @cached_property
    def dim(self) -> int:
        return int(self._model.config.projection_dim)

    @cached_property
    def _model(self) -> Any:
        model = self._network().to(self._device).eval()
        # to a vocabulary of a few words the captions of the check are one unknown word after another
        if self._has_tokenizer() and len(self._tokenizer) >= LEAST_VOCABULARY:
            check_captions(lambda texts: self._read(list(texts), model), self.model_id)
        return model

    def _network(self) -> Any:
        """The network with its weights."""
        from transformers import ClapModel

        return load_pretrained(ClapModel, self._folder, role="audio-text model clap")

    def _has_tokenizer(self) -> bool:
        """Whether a tokenizer is there."""
        return True

    @cached_property
    def _processor(self) -> Any:
        from transformers import ClapProcessor

        try:
            processor = ClapProcessor.from_pretrained(self._folder, local_files_only=True)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ModelError(f"{self._folder}: its processor cannot be loaded: {error}") from error
        check_tokenizer(processor.tokenizer, self._folder, self._least_vocabulary)
        return processor

    @property
    def _extractor(self) -> Any:
        return self._processor.feature_extractor

    @property
    def _tokenizer(self) -> Any:
        return self._processor.tokenizer

    @property
    def rate_hz(self) -> int:
        """Samples a second of the windows."""
        return int(self._extractor.sampling_rate)

    def load(self) -> None:
        """Load the model."""
        _ = self._model

    def embed_audio(self, sounds: Sequence[Sound]) -> np.ndarray:
        windows = [_windows(sound, self.rate_hz) for sound in sounds]
        vectors = self.embed_windows([window for of_one in windows for window in of_one])
        out, at = np.zeros((len(sounds), self.dim), np.float32), 0
        for row, of_one in zip(out, windows, strict=True):
            row[:] = vectors[at : at + len(of_one)].mean(0)
            at += len(of_one)
        return unit_rows(out)

    def embed_windows(self, windows: Sequence[np.ndarray]) -> np.ndarray:
        """float32 [n, dim], rows of length 1, of windows of exactly ten seconds at `rate_hz`."""
        vectors = np.zeros((len(windows), self.dim), np.float32)
        for start in range(0, len(windows), WINDOWS_AT_ONCE):
            end = start + WINDOWS_AT_ONCE
            vectors[start:end] = self._extract(list(windows[start:end]))
        return vectors

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        out = np.zeros((len(texts), self.dim), np.float32)
        said = [i for i, text in enumerate(texts) if text.strip()]
        for start in range(0, len(said), TEXTS_AT_ONCE):
            places = said[start : start + TEXTS_AT_ONCE]
            out[places] = self._read([texts[i] for i in places], self._model)
        return unit_rows(out)

    def _extract(self, windows: list[np.ndarray]) -> np.ndarray:
        import torch

        # Neither way cuts a window of exact length. They differ in the mel scale: models with
        # fusion were trained on HTK's, unnormalised, in four channels, those without on Slaney's.
        fusion = self._model.config.audio_config.enable_fusion
        features = self._extractor(
            windows,
            sampling_rate=self.rate_hz,
            truncation="fusion" if fusion else "rand_trunc",
            return_tensors="pt",
        )
        spectra = features["input_features"]  # [windows, 1 or 4, frames, mels]
        is_longer = torch.zeros(len(windows), 1, dtype=torch.bool, device=self._device)
        with torch.inference_mode():
            out = self._model.get_audio_features(
                input_features=spectra.to(self._device), is_longer=is_longer
            )
        return unit_rows(out.pooler_output.float().cpu().numpy())

    def _read(self, texts: list[str], model: Any) -> np.ndarray:
        import torch

        limit = int(model.config.text_config.max_position_embeddings) - 2
        limit = min(limit, self.longest_text)
        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=limit, return_tensors="pt"
        ).to(self._device)
        with torch.inference_mode():
            out = model.get_text_features(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            )
        return out.pooler_output.float().cpu().numpy()


def _windows(sound: Sound, rate_hz: int) -> list[np.ndarray]:
    """Ten-second windows of a sound, mono at `rate_hz`, that cover it."""
    samples, size = sound.mono_at(rate_hz), WINDOW_S * rate_hz
    if len(samples) == 0:
        raise EndOfAudio(f"{sound.name or 'a sound'} holds no samples to embed")
    if len(samples) < size:
        return [np.resize(samples, size)]  # repeats
    count = math.ceil(len(samples) / size)
    starts = np.linspace(0, len(samples) - size, count).round().astype(int)
    return [samples[start : start + size] for start in starts]
