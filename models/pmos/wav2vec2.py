"""p-MOS by a checkpoint of transformers: wav2vec 2.0, HuBERT or WavLM with one output.

`wav2vec2@FOLDER` reads the kind of network from FOLDER/config.json. Beside it and the weights lie
preprocessor_config.json (sampling rate, whether a wave is brought to mean 0 and variance 1) and, in
folders that `qamdt-curate models train-pmos` made, qamdt.json: there stand the loudness to which
sounds are brought first, and the longest window.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.loudness import integrated_loudness
from ...audio.sound import Sound
from ...schemas.errors import ModelError, WeightsMissing
from ...schemas.hashing import hash_weights
from ..fetch.pretrained import load_with_new
from ..ref import require_path
from .windows import equal_windows, of_equal_length, sane

TYPES = ("wav2vec2", "hubert", "wavlm")
RECORD = "qamdt.json"
PREPROCESSOR = "preprocessor_config.json"
RATE_HZ = 16000
MIN_S = 1.0
WINDOW_S = 30.0  # without a record: attention over more costs much memory
BATCH = 8
MASK = "*masked_spec_embed"  # only training masks frames; checkpoints may lack its embedding


@dataclass(frozen=True)
class Hearing:
    """How a sound becomes what the network hears, the same in training and in use.

    loudness_lufs: every sound is brought to this integrated loudness (EBU R128, measured over the
    whole sound at its own rate, all channels; a gain alone, no limiter); None leaves it as it is.
    normalise: every window is brought to mean 0 and variance 1, as Wav2Vec2FeatureExtractor does.
    """

    rate_hz: int = RATE_HZ
    normalise: bool = False
    loudness_lufs: float | None = None
    window_s: float = WINDOW_S

    @classmethod
    def of(cls, folder: Path) -> Hearing:
        """What a checkpoint folder says; the defaults above where it says nothing."""
        preprocessor = read_json(folder / PREPROCESSOR)
        record = read_json(folder / RECORD).get("hearing", {})
        return cls(
            int(preprocessor.get("sampling_rate", RATE_HZ)),
            bool(preprocessor.get("do_normalize", False)),
            record.get("loudness_lufs"),
            float(record.get("window_s", WINDOW_S)),
        )

    @property
    def most(self) -> int:
        """Samples of the longest window."""
        return round(self.window_s * self.rate_hz)

    def wave(self, sound: Sound) -> np.ndarray:
        """The mean of all channels at `rate_hz`, at the loudness wanted: float32 [T].

        What is too quiet to have a loudness (below -70 LUFS) is left as it is.
        """
        wave = sound.mono_at(self.rate_hz)
        if self.loudness_lufs is None:
            return wave
        found = sound.once("lufs", lambda: integrated_loudness(sound.samples, sound.rate_hz))
        gain = 1.0 if found is None else 10 ** ((self.loudness_lufs - found) / 20)
        return (wave * gain).astype(np.float32)

    def normalised(self, window: np.ndarray) -> np.ndarray:
        """A window as the network takes it: float32 [T]."""
        if self.normalise:
            window = (window - window.mean()) / np.sqrt(window.var() + 1e-7)
        return window.astype(np.float32)

    def windows(self, wave: np.ndarray) -> list[np.ndarray]:
        """All of `wave`, in equal windows of at most `window_s`, as the network takes them."""
        return [self.normalised(w) for w in equal_windows(wave, self.most)]


class Wav2Vec2Pmos:
    """`wav2vec2@FOLDER`: Wav2Vec2-, Hubert- or WavLMForSequenceClassification with one output.

    FOLDER is in the layout of transformers (config.json, model.safetensors). A sound longer than
    the window (30 s where no record says otherwise) is heard in equal windows, and the mean of
    their outputs is the score: neither scaled nor clamped. The name is `wav2vec2@` for all three.
    Raises WeightsMissing where the folder is not complete, ModelError where it is another model.
    """

    def __init__(self, where: str | None = None, device: str = "cpu"):
        self._folder = Path(require_path("wav2vec2", where or "", "FOLDER"))
        weights = weights_of(self._folder)
        kind_of(self._folder)
        outputs = config_of(self._folder).num_labels
        if outputs != 1:
            raise ModelError(
                f"{self._folder} has {outputs} outputs, expected 1: give a regression "
                "checkpoint (num_labels=1), not a classifier"
            )
        self.front_end = Hearing.of(self._folder)
        self.rate_hz, self.normalise = self.front_end.rate_hz, self.front_end.normalise
        self.model_id = f"wav2vec2@{self._folder.name}"
        configs = [self._folder / name for name in ("config.json", PREPROCESSOR, RECORD)]
        self.digest = hash_weights([f for f in configs if f.is_file()] + weights)
        self._device = device

    def load(self) -> None:
        """Load the network; otherwise the first use does."""
        _ = self._model

    @cached_property
    def _model(self) -> Any:
        model, _ = load_network(self._folder)
        return model.eval().to(self._device)

    def score(self, sounds: Sequence[Sound]) -> np.ndarray:
        """See `PmosModel.score`."""
        known = [k for k, sound in enumerate(sounds) if sane(sound, MIN_S)]
        out = np.full(len(sounds), np.nan, np.float32)
        out[known] = self.score_waves([self.front_end.wave(sounds[k]) for k in known])
        return out

    def score_waves(self, waves: Sequence[np.ndarray]) -> np.ndarray:
        """float32 [n] for what `Hearing.wave` made of sounds."""
        return predict(self._model, self.front_end, waves)


def predict(model: Any, front_end: Hearing, waves: Sequence[np.ndarray]) -> np.ndarray:
    """Scores float32 [n] of whole waves by a network in evaluation mode: the mean over windows.

    Only windows of exactly one length share a batch: group normalisation over time (the first
    layer of wav2vec2-base and its kin) would hear padding even behind an attention mask.
    """
    import torch

    owner: list[int] = []
    windows: list[np.ndarray] = []
    for number, wave in enumerate(waves):
        cut = front_end.windows(wave)
        owner += [number] * len(cut)
        windows += cut
    totals = np.zeros((2, len(waves)))
    with torch.inference_mode():
        for batch in of_equal_length(windows, BATCH):
            inputs = torch.from_numpy(np.stack([windows[k] for k in batch])).to(model.device)
            scores = model(inputs).logits[:, 0].float().cpu().numpy()
            np.add.at(totals, (0, [owner[k] for k in batch]), scores)
            np.add.at(totals, (1, [owner[k] for k in batch]), 1)
    return np.asarray(totals[0] / totals[1], np.float32)


def load_network(folder: Path, **options: Any) -> tuple[Any, frozenset[str]]:
    """(the network with a head, which of its tensors are new). Raises ModelError.

    options: as of `load_with_new`; nothing may be new but the embedding of masked frames.
    """
    import torch
    from transformers import AutoModelForAudioClassification

    allowed = (MASK, *options.pop("allow_missing", ()))
    return load_with_new(
        AutoModelForAudioClassification, folder, role="p-MOS model wav2vec2",
        allow_missing=allowed,
        dtype=torch.float32,  # else that of the file, which may be half
        **options,
    )  # fmt: skip


def weights_of(folder: Path) -> list[Path]:
    """The weight files of a checkpoint folder. Raises WeightsMissing where it is not one."""
    files = sorted(
        f for f in folder.glob("*") if f.suffix in {".safetensors", ".bin"} and f.is_file()
    )
    if not (folder / "config.json").is_file() or not files:
        what = "holds no checkpoint" if folder.is_dir() else "is not a folder"
        raise WeightsMissing(
            f"{folder} {what} of wav2vec 2.0, HuBERT or WavLM: expected a folder with config.json"
            " and model.safetensors as written by `save_pretrained`; download or convert the"
            " checkpoint there first"
        )
    return files


def kind_of(folder: Path) -> str:
    """`wav2vec2`, `hubert` or `wavlm`, from config.json. Raises ModelError for another."""
    kind = str(read_json(folder / "config.json").get("model_type"))
    if kind not in TYPES:
        raise ModelError(
            f"{folder} holds a model of type {kind!r}, expected one of {', '.join(TYPES)}"
        )
    return kind


def config_of(folder: Path) -> Any:
    """The configuration as transformers reads it. Raises ModelError."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}/config.json cannot be used: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty where there is no file. Raises ModelError for other content."""
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}; restore the file") from error
    if not isinstance(content, dict):
        raise ModelError(f"{path} holds no JSON object; restore the file")
    return content
