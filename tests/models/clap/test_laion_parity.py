"""models/clap/laion.py against the package laion-clap: the same random weights, the same clips and texts.

`make test-laion` builds where this runs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders import music
from oracles import TEXTS, VISION, _taken_away, keep, oracle  # noqa: F401

from qamdt.audio.sound import Sound
from qamdt.models.clap.laion import LaionMatch
from qamdt.schemas.errors import ModelError

pytestmark = [pytest.mark.laion, pytest.mark.timeout(900)]
CLOSE = 1e-4
UNIT = "millionths, largest difference of a coordinate"
SAID = [
    "slow sad piano",
    "drums",
    "a fast piece for strings with a choir and a guitar",
    "word " * 90,
]
CASES = [("HTSAT-tiny", False), ("HTSAT-base", False), ("HTSAT-tiny", True), ("HTSAT-base", True)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level tokenizer with RoBERTa's special tokens, learned of `SAID`."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import RobertaTokenizerFast

    trained = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(SAID, vocab_size=320, min_frequency=1, special_tokens=special)
    folder = tmp_path_factory.mktemp("tokenizer")
    made = RobertaTokenizerFast(tokenizer_object=trained._tokenizer)
    made.save_pretrained(folder)
    return folder


def laion_clap(monkeypatch: pytest.MonkeyPatch, amodel: str, fusion: bool) -> Any:
    """Their module with random weights; a small RoBERTa stands where theirs asks the hub."""
    import transformers

    config = transformers.RobertaConfig(
        vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, num_hidden_layers=2
    )
    with monkeypatch.context() as patch:
        patch.setattr(
            transformers.RobertaModel,
            "from_pretrained",
            lambda *_, **__: transformers.RobertaModel(config),
        )
        for name in ("RobertaTokenizer", "BertTokenizer", "BartTokenizer"):
            patch.setattr(getattr(transformers, name), "from_pretrained", lambda *_, **__: None)
        patch.setattr(sys, "argv", sys.argv[:1])
        tool = oracle("laion_clap", *VISION, *TEXTS)
        torch.manual_seed(0)
        made = tool.CLAP_Module(enable_fusion=fusion, device="cpu", amodel=amodel).eval()
    for name, part in made.model.named_modules():  # running statistics of 0 and 1 would hide swaps
        if isinstance(part, torch.nn.BatchNorm2d) and name.startswith("audio_branch"):
            part.running_mean.normal_(0, 0.5)
            part.running_var.uniform_(0.5, 2)
    return made


@pytest.mark.parametrize(("amodel", "fusion"), CASES)
def test_the_embeddings_of_laion_clap(
    amodel: str, fusion: bool, tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saved as theirs with what a training run leaves in the file, read as ours: the same vectors."""
    torch.set_num_threads(1)
    theirs = laion_clap(monkeypatch, amodel, fusion)
    left = {"epoch": 15, "name": "x", "loss": np.float64(0.5)}
    torch.save({**left, "state_dict": theirs.model.state_dict()}, tmp_path / "clap.pt")
    ours = LaionMatch(f"{tmp_path}/clap.pt#{tokenizer}?int16=true", least_vocabulary=5)
    assert ours.model_id == "laion:clap+int16"

    sounds = [
        Sound(1.4 * music(10.0, 48_000, seed=seed), 48_000) for seed in (1, 2)
    ]  # clips a little
    mono = np.stack([sound.mono() for sound in sounds])
    with torch.inference_mode():
        heard = theirs.get_audio_embedding_from_data(mono.copy(), use_tensor=False)
        exact = theirs.get_audio_embedding_from_data(torch.from_numpy(mono), use_tensor=True)
    found = ours.embed_audio(sounds)
    plain = LaionMatch(f"{tmp_path}/clap.pt#{tokenizer}", least_vocabulary=5)
    assert np.abs(plain.embed_audio(sounds) - exact.numpy()).max() <= CLOSE
    assert np.abs(heard[0] - heard[1]).max() > 10 * CLOSE  # random weights tell the sounds apart

    words = ours._tokenizer

    def in_full(said: list[str]) -> Any:
        return words(
            said, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
        )

    with torch.inference_mode():
        read = theirs.get_text_embedding(SAID, tokenizer=in_full)
    name = amodel.lower().replace("-", "_") + ("_fusion" if fusion else "")
    for kind, a, b in (("audio", found, heard), ("text", ours.embed_text(SAID), read)):
        apart = float(np.abs(a - b).max())
        keep(f"laion_parity_{name}_{kind}", 1e6 * apart, len(a), UNIT)
        assert apart <= CLOSE


def test_an_empty_tokenizer_is_an_error(tokenizer: Path, tmp_path: Path) -> None:
    """What transformers gives without a network for roberta-base is refused by its size."""
    (tmp_path / "clap.pt").write_bytes(b"x")
    (tmp_path / "roberta-base").mkdir()
    for file in tokenizer.iterdir():
        (tmp_path / "roberta-base" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ModelError, match="tokenizer has 3"):
        _ = LaionMatch(f"{tmp_path}/clap.pt")._tokenizer
