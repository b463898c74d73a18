"""Fine-tuning a scorer: it learns, resumes to the same bits, and its folder says the same again."""

import dataclasses
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from finetune_builders import QUICK, RATE_HZ, noisy_sound, rated, table_file, tiny_encoder
from typer.testing import CliRunner

from qamdt.audio.decode import decode_window
from qamdt.audio.probe import probe
from qamdt.audio.sound import Sound
from qamdt.curate.cli import app
from qamdt.models.finetune import figures
from qamdt.models.finetune.config import FinetuneConfig
from qamdt.models.finetune.network import open_network, optimizer_of, set_rates
from qamdt.models.finetune.run import finetune
from qamdt.models.pmos.kinds import KINDS
from qamdt.models.pmos.wav2vec2 import Wav2Vec2Pmos
from qamdt.models.ref import resolve
from qamdt.schemas.errors import ConfigError, DatasetBusy, ModelError, QamdtError, WeightsMissing

THREE = ("wav2vec2", "hubert", "wavlm")
LONG = dataclasses.replace(QUICK, epochs=10)


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """One thread, and intervals of few resamplings: how they are made is tested elsewhere."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "TRIES", 20)
        yield


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rated(tmp_path_factory.mktemp("rated"))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rated(tmp_path_factory.mktemp("few"), count=20)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_encoder(tmp_path_factory.mktemp("init") / "tiny")


def quietly(labels: Path, init: Path, out: Path, config: FinetuneConfig, **more: Any) -> dict:
    return finetune(labels, init, out, config, log=lambda line: None, **more)


@pytest.mark.parametrize("kind", THREE)
def test_a_scorer_learns_and_its_folder_repeats_it(labels: Path, tmp_path: Path, kind: str) -> None:
    """Error on dev far below saying the mean; `wav2vec2@FOLDER` gives the scores of splits.csv
    from the files again, alone as in a batch."""
    init = tiny_encoder(tmp_path / "init", kind)
    record = quietly(labels, init, tmp_path / "mine", LONG)
    found = {name: f["value"] for name, f in record["figures"].items()}
    assert found["dev_rmse"] < 0.75 * found["dev_rmse_of_mean"]
    assert found["dev_pearson"] > 0.7
    model = resolve(f"wav2vec2@{tmp_path / 'mine'}", KINDS)
    test = pd.read_csv(tmp_path / "mine" / "splits.csv").query("split == 'test'")
    sounds = [_sound(labels.parent / path) for path in test["path"]]
    assert len(sounds) == record["splits"]["test"]["sounds"] > 3
    np.testing.assert_allclose(model.score(sounds), test["score"], atol=1e-5)
    alone = [model.score([Sound(s.samples, s.rate_hz)])[0] for s in sounds]
    np.testing.assert_allclose(alone, test["score"], atol=1e-5)


def _sound(path: Path) -> Sound:
    return decode_window(path, 0.0, probe(path).duration_s)


class Cut(Exception):
    """The power goes off."""


class Fuse:
    """A progress bar that stops the run after so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def __enter__(self) -> "Fuse":
        return self

    def __exit__(self, *_: object) -> None: ...

    def advance(self, n: int) -> None:
        self.left -= n
        if self.left < 0:
            raise Cut


def test_a_run_cut_off_anywhere_ends_the_same(few: Path, encoder: Path, tmp_path: Path) -> None:
    """Cut while decoding, inside an epoch, after one: the same bits as the run never cut."""
    config = dataclasses.replace(QUICK, batch_size=2, accumulate=2, epochs=4, save_steps=2)
    init = tiny_encoder(tmp_path / "init", hidden_dropout=0.2, layerdrop=0.3)
    whole = quietly(few, init, tmp_path / "whole", config)
    steps = whole["training"]["steps"] // 4
    assert steps == 3 and whole["training"]["epochs"] == 4
    for cut in (1, steps + 1, 2 * steps + 3):
        with pytest.raises(Cut):
            quietly(few, init, tmp_path / "cut", config, bars=lambda *_, cut=cut: Fuse(cut))
        assert not (tmp_path / "cut" / "model.safetensors").exists()
    cut_off = quietly(few, init, tmp_path / "cut", config)
    assert cut_off == whole
    for name in ("model.safetensors", "config.json", "splits.csv", "qamdt.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not (tmp_path / "cut" / ".training").exists()


def test_the_best_epoch_is_kept_and_patience_ends(few: Path, encoder: Path, tmp_path: Path) -> None:
    """Rates that destroy the network: training stops `patience` epochs after the best one."""
    config = dataclasses.replace(QUICK, epochs=9, patience=2, learning_rate=0.3, warmup=0.0)
    told = quietly(few, encoder, tmp_path / "mine", config)
    history = [entry["rmse"] for entry in told["training"]["history"]]
    assert told["training"]["best_epoch"] == 1 + int(np.argmin(history))
    assert len(history) == told["training"]["best_epoch"] + 2 < 9
    assert told["figures"]["dev_rmse"]["value"] == pytest.approx(min(history), abs=1e-4)


def test_an_out_folder_is_never_taken_from_another(
    few: Path, encoder: Path, tmp_path: Path
) -> None:
    """Done: said. Other settings, labels, somebody's files, INIT itself: refused. --fresh: again."""
    config, out = dataclasses.replace(QUICK, epochs=1), tmp_path / "mine"
    first = quietly(few, encoder, out, config)
    said: list[str] = []
    assert finetune(few, encoder, out, config, log=said.append) == first
    assert "made already" in said[0]
    other = dataclasses.replace(config, loss="huber")
    with pytest.raises(ConfigError, match=r"differs in loss \(was l1\).*--fresh"):
        quietly(few, encoder, out, other)
    more = shutil.copy(few, few.parent / "more.csv")
    with open(more, "a") as file:
        file.write("000.wav,3.0,a0\n")
    with pytest.raises(ConfigError, match="differs in labels"):
        quietly(more, encoder, out, config)
    assert quietly(few, encoder, out, other, fresh=True)["settings"]["loss"] == "huber"
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.doc").touch()
    for fresh in (False, True):
        with pytest.raises(ConfigError, match="other things"):
            quietly(few, encoder, tmp_path / "theirs", config, fresh=fresh)
    with pytest.raises(ConfigError, match="a folder of its own"):
        quietly(few, out, out, config, fresh=True)
    assert (out / "model.safetensors").exists()


def test_what_the_folder_records(few: Path, tmp_path: Path) -> None:
    """Loudness, window and normalisation are written, used by the scorer, and in its digest."""
    from transformers import Wav2Vec2FeatureExtractor

    init = tiny_encoder(tmp_path / "init")
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(init)
    config = dataclasses.replace(QUICK, epochs=1)
    quietly(few, init, tmp_path / "plain", config)
    quietly(few, init, tmp_path / "loud", dataclasses.replace(config, loudness_lufs=-23.0))
    plain, loud = Wav2Vec2Pmos(str(tmp_path / "plain")), Wav2Vec2Pmos(str(tmp_path / "loud"))
    assert (plain.normalise, plain.front_end.loudness_lufs) == (True, None)
    assert (loud.normalise, loud.front_end.loudness_lufs) == (False, -23.0)
    assert loud.front_end.window_s == 1.2
    wave = noisy_sound(0.5, 2.4, 0)[None]
    scores = loud.score([Sound(wave, RATE_HZ), Sound(0.1 * wave, RATE_HZ)])
    assert scores[0] == pytest.approx(scores[1], abs=1e-4)
    halves = loud.front_end.windows(loud.front_end.wave(Sound(wave, RATE_HZ)))
    assert [len(w) for w in halves] == [19_200, 19_200]
    with torch.inference_mode():
        each = [loud._model(torch.from_numpy(w)[None]).logits.item() for w in halves]
    assert scores[0] == pytest.approx(np.mean(each), abs=1e-4)
    record = tmp_path / "loud" / "qamdt.json"
    content = json.loads(record.read_text())
    assert content["hearing"]["loudness_lufs"] == -23.0 and content["labels"]["rows"] == 20
    content["hearing"]["loudness_lufs"] = -14.0
    record.write_text(json.dumps(content))
    assert Wav2Vec2Pmos(str(tmp_path / "loud")).digest != loud.digest
    record.write_text("{")
    with pytest.raises(ModelError, match="not JSON"):
        Wav2Vec2Pmos(str(tmp_path / "loud"))


def test_two_runs_do_not_share_a_folder(few: Path, encoder: Path, tmp_path: Path) -> None:
    """While one run holds OUT, another is refused before it touches anything."""

    class Second(Fuse):
        def advance(self, n: int) -> None:
            quietly(few, encoder, tmp_path / "mine", QUICK)

    with pytest.raises(DatasetBusy, match="in use by another run"):
        quietly(few, encoder, tmp_path / "mine", QUICK, bars=lambda *_: Second(0))


def test_labels_that_leave_nothing_are_an_error(encoder: Path, tmp_path: Path) -> None:
    """All rows bad: what was expected, the first reason, and all of them in errors.csv."""
    labels = table_file(tmp_path / "l.csv", [{"path": "a.wav", "mos": 3}, {"path": "", "mos": 3}])
    with pytest.raises(ConfigError, match=r"2 rows, all with errors .*a\.wav.* expected the col"):
        quietly(labels, encoder, tmp_path / "mine", QUICK)
    assert len((tmp_path / "mine" / "errors.csv").read_text().splitlines()) == 3
    labels.write_text("path,mos\nb.wav,3\n")  # corrected labels may use the same folder
    with pytest.raises(ConfigError, match="1 rows, all with errors"):
        quietly(labels, encoder, tmp_path / "mine", QUICK)


def test_copies_on_both_sides_are_counted(few: Path, encoder: Path, tmp_path: Path) -> None:
    """A test sound that is a training sound under another name is told in record and card."""
    table = pd.read_csv(few)
    table["split"] = ["train"] * 10 + ["dev"] * 5 + ["test"] * 5
    shutil.copy(few.parent / "000.wav", few.parent / "copy.wav")
    table.loc[19, "path"] = "copy.wav"
    table.to_csv(few.parent / "copies.csv", index=False)
    config = dataclasses.replace(QUICK, epochs=1)
    told = quietly(few.parent / "copies.csv", encoder, tmp_path / "mine", config)
    assert told["same_audio"] == 1
    assert "very samples" in (tmp_path / "mine" / "README.md").read_text()


@pytest.mark.parametrize(("freeze", "trained"), [("none", "all"), ("features", "no convolutions"),
                                                 ("encoder", "head")])  # fmt: skip
@pytest.mark.parametrize("kind", THREE)
def test_what_is_frozen(tmp_path: Path, kind: str, freeze: str, trained: str) -> None:
    """The head is always trained and begins at the mean label; rates and decay go by group."""
    config = dataclasses.replace(QUICK, freeze=freeze)
    network = open_network(tiny_encoder(tmp_path / "init", kind), config, 3.7)
    assert network.classifier.bias.item() == pytest.approx(3.7)
    names = {n for n, w in network.named_parameters() if w.requires_grad}
    assert {"projector.weight", "classifier.bias"} <= names
    assert any("feature_extractor" in n for n in names) == (trained == "all")
    assert any("encoder.layers" in n for n in names) == (trained != "head")
    optimizer = optimizer_of(network, config)
    assert sum(len(g["params"]) for g in optimizer.param_groups) == len(names)
    for step in range(100):
        set_rates(optimizer, step, 100, 0.1)
        assert all(0 <= g["lr"] <= g["peak"] for g in optimizer.param_groups)
        if step == 9:
            assert all(g["lr"] == pytest.approx(g["peak"]) for g in optimizer.param_groups)


def test_heads_and_encoders_that_are_there(tmp_path: Path) -> None:
    """A classifier's head is replaced, a scorer's kept; an encoder with holes is refused."""
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForAudioClassification

    init = tiny_encoder(tmp_path / "init")
    for outputs in (1, 3):
        folder = tmp_path / f"head{outputs}"
        model = AutoModelForAudioClassification.from_pretrained(init, num_labels=outputs)
        with torch.no_grad():
            model.classifier.bias.fill_(2.5)
        model.save_pretrained(folder)
        network = open_network(folder, QUICK, 3.7)
        assert network.classifier.bias.tolist() == pytest.approx([2.5 if outputs == 1 else 3.7])
    weights = load_file(init / "model.safetensors")
    weights = {k: v for k, v in weights.items() if "layers.1.attention.q_proj" not in k}
    save_file(weights, init / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="q_proj"):
        open_network(init, QUICK, 3.7)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"loss": "l2"}, "expected one of l1, huber"),
        ({"freeze": "all"}, "expected one of none, features, encoder"),
        ({"epochs": 0}, "epochs = 0: expected 1 or more"),
        ({"window_s": 0.5}, "window_s = 0.5"),
        ({"learning_rate": math.nan}, "learning_rate = nan"),
        ({"loudness_lufs": -23.0, "normalise": True}, "give one of the two"),
    ],
)
def test_settings_that_cannot_be_used(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        FinetuneConfig(**change)


def test_the_command(few: Path, encoder: Path, tmp_path: Path) -> None:
    """One command makes a scorer, prints what it is worth, and names it; errors are ours."""
    cli, out = CliRunner(), tmp_path / "mine"
    words = ["models", "train-pmos", str(few), "--init", str(encoder), "--out", str(out)]
    flags = ["--epochs", "1", "--freeze", "encoder", "--window-s", "1.2", "--loudness-lufs", "-23"]
    done = cli.invoke(app, [*words, *flags, "--device", "cpu"])
    assert done.exit_code == 0, done.output
    for text in ("20 rows = 20 ok + 0 error", "Pearson", "RMSE of the mean", "Calibration (test)",
                 f"wav2vec2@{out}"):  # fmt: skip
        assert text in done.output, text
    card = (out / "README.md").read_text()
    assert "-23 LUFS" in card and "| Pearson |" in card and "| freeze | encoder |" in card
    gone = cli.invoke(app, [*words[:4], str(tmp_path / "gone"), *words[5:]])
    assert isinstance(gone.exception, WeightsMissing) and "is not a folder" in str(gone.exception)
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "bert" / "model.safetensors").touch()
    bert = cli.invoke(app, [*words[:4], str(tmp_path / "bert"), *words[5:]])
    assert isinstance(bert.exception, QamdtError)
    assert "'bert', expected one of wav2vec2, hubert, wavlm" in str(bert.exception)


@pytest.mark.gpu
def test_a_gpu_learns_too(labels: Path, encoder: Path, tmp_path: Path) -> None:
    """bf16 on CUDA ends near the CPU's figure; the folder scores the same on both within .01."""
    told = quietly(labels, encoder, tmp_path / "gpu", LONG, device="cuda")
    found = told["figures"]
    assert found["dev_rmse"]["value"] < 0.75 * found["dev_rmse_of_mean"]["value"]
    sounds = [_sound(p) for p in sorted(labels.parent.glob("*.wav"))[:10]]
    scores = [Wav2Vec2Pmos(str(tmp_path / "gpu"), d).score(sounds) for d in ("cpu", "cuda")]
    np.testing.assert_allclose(*scores, atol=0.01)
