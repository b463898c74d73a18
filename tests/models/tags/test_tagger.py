"""models/tags/tagger.py, models/tags/musicnn.py and models/fetch/musicnn.py."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from builders import music, sine

from qamdt.audio.sound import Sound
from qamdt.models.fetch import musicnn as fetch_musicnn
from qamdt.models.ref import resolve
from qamdt.models.tags import musicnn
from qamdt.models.tags.kinds import TAGGERS
from qamdt.models.tags.tagger import MusicnnTagger
from qamdt.schemas.errors import ConfigError, EndOfAudio, ModelError, WeightsMissing

RATE_HZ = musicnn.RATE_HZ

# Mean logits of the first eight words of each network on `chirp()`, computed by TensorFlow 2.16
# from the published code and checkpoints.
PUBLISHED = {
    "MSD": (-2.8651, -5.0553, -3.4678, -3.2456, -1.1669, -4.2488, -3.0946, -4.3484),
    "MTT": (-6.4739, -9.4877, -2.808, -2.6761, -8.8587, -4.1556, -2.0141, -5.5063),
}


def chirp() -> np.ndarray:
    """Ten seconds at 16 kHz: a rising tone in noise."""
    t = np.arange(10 * RATE_HZ) / RATE_HZ
    noise = np.random.default_rng(0).standard_normal(len(t))
    return (0.2 * np.sin(2 * np.pi * 220 * t * (1 + 0.05 * t)) + 0.05 * noise).astype(np.float32)


@pytest.fixture(scope="module")
def tagger() -> MusicnnTagger:
    torch.set_num_threads(1)
    return MusicnnTagger()


def some_music(seed: int, duration_s: float = 3.2) -> Sound:
    return Sound(music(duration_s, seed=seed), 44100)


# --- the checkpoint ----------------------------------------------------------------------------


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def block(entries: list[tuple[bytes, bytes]]) -> bytes:
    """A LevelDB block: keys share what they can with the key before; one restart."""
    out, before = b"", b""
    for key, value in entries:
        shared = 0
        while shared < min(len(key), len(before)) and key[shared] == before[shared]:
            shared += 1
        out += varint(shared) + varint(len(key) - shared) + varint(len(value))
        out += key[shared:] + value
        before = key
    return out + bytes(4) + (1).to_bytes(4, "little")


def write_checkpoint(folder: Path, variables: dict[str, np.ndarray]) -> tuple[Path, Path]:
    """The same two files that TensorFlow writes."""
    data, entries = b"", [(b"", b"\x08\x01")]
    for name, value in sorted(variables.items()):
        raw = value.astype("<f4").tobytes()
        dims = b"".join(
            b"\x12" + varint(len(d)) + d for d in (b"\x08" + varint(n) for n in value.shape)
        )
        entry = b"\x08\x01" + b"\x12" + varint(len(dims)) + dims
        entry += b"\x20" + varint(len(data)) + b"\x28" + varint(len(raw)) + b"\x35abcd"
        entries.append((name.encode(), entry))
        data += raw
    first = block(entries)
    index = block([(b"zzz", varint(0) + varint(len(first)))])
    footer = varint(0) + varint(0) + varint(len(first) + 5) + varint(len(index))
    magic = fetch_musicnn.TABLE_MAGIC.to_bytes(8, "little")
    table = first + bytes(5) + index + bytes(5) + footer.ljust(40, b"\0") + magic
    (folder / "index").write_bytes(table)
    (folder / "data").write_bytes(data)
    return folder / "index", folder / "data"


def test_a_checkpoint_is_read_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wanted = {
        "conv2d/kernel": rng.standard_normal((3, 2, 1, 200)),
        "conv2d/bias": rng.standard_normal(200),
        "conv2d_1/bias": rng.standard_normal(0),
        "step": rng.standard_normal(()),
    }
    found = fetch_musicnn.read_checkpoint(*write_checkpoint(tmp_path, wanted))
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value.astype(np.float32))


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    index, data = write_checkpoint(tmp_path, {"a": np.ones(3)})
    data.write_bytes(b"short")
    with pytest.raises(ModelError, match="does not fit"):
        fetch_musicnn.read_checkpoint(index, data)
    index.write_bytes(b"x" * 100)
    with pytest.raises(ModelError, match="not the index"):
        fetch_musicnn.read_checkpoint(index, data)


# --- the network -------------------------------------------------------------------------------


def random_variables() -> dict[str, np.ndarray]:
    """Variables of musicnn's shapes; a third of all batch norms fall."""
    rng = np.random.default_rng(1)
    kernels = [(7, 38, 1, 204), (7, 67, 1, 204), (128, 1, 1, 51), (64, 1, 1, 51), (32, 1, 1, 51)]
    kernels += [(7, 561, 1, 64), (7, 64, 1, 64), (7, 64, 1, 64)]
    found = {}
    for i, shape in enumerate(kernels):
        name = "conv2d" if i == 0 else f"conv2d_{i}"
        fan = np.prod(shape[:3])
        found[f"{name}/kernel"] = rng.standard_normal(shape) / np.sqrt(fan)
        found[f"{name}/bias"] = rng.standard_normal(shape[3]) * 0.1
    for name, shape in {"dense": (1506, 200), "dense_1": (200, 50)}.items():
        found[f"{name}/kernel"] = rng.standard_normal(shape) / np.sqrt(shape[0])
        found[f"{name}/bias"] = rng.standard_normal(shape[1]) * 0.1
    for i, size in enumerate((1, 204, 204, 51, 51, 51, 64, 64, 64, 1506, 200)):
        name = "batch_normalization" if i == 0 else f"batch_normalization_{i}"
        sign = np.where(rng.random(size) < 0.33, -1, 1)
        found[f"{name}/gamma"] = sign * rng.uniform(0.5, 1.5, size)
        found[f"{name}/beta"] = rng.standard_normal(size) * 0.1
        found[f"{name}/moving_mean"] = rng.standard_normal(size) * 0.1
        found[f"{name}/moving_variance"] = rng.uniform(0.5, 1.5, size)
    return {k: np.asarray(v, np.float32) for k, v in found.items()}


def as_published(v: dict[str, np.ndarray], patches: torch.Tensor) -> torch.Tensor:
    """musicnn in the published order of operations, double precision, nothing folded."""

    def norm(x: torch.Tensor, i: int, axis: int) -> torch.Tensor:
        name = "batch_normalization" if i == 0 else f"batch_normalization_{i}"
        shape = [-1 if a == axis else 1 for a in range(x.ndim)]
        g, b, m, s = (
            torch.from_numpy(v[f"{name}/{part}"]).double().reshape(shape)
            for part in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        return g * (x - m) / torch.sqrt(s + 1e-3) + b

    def layer(name: str, i: int) -> tuple[torch.Tensor, torch.Tensor]:
        name = name if i == 0 else f"{name}_{i}"
        kernel, bias = (torch.from_numpy(v[f"{name}/{p}"]).double() for p in ("kernel", "bias"))
        return (kernel.permute(3, 2, 0, 1) if kernel.ndim == 4 else kernel.T), bias

    x = norm(patches.double()[:, None], 0, 1)
    front = []
    for i in range(5):
        kernel, bias = layer("conv2d", i)
        before = 3 if i < 2 else kernel.shape[2] // 2 - 1
        padded = F.pad(x, (0, 0, before, kernel.shape[2] - 1 - before))
        front.append(norm(F.relu(F.conv2d(padded, kernel, bias)), i + 1, 1).amax(3))
    hidden = [torch.cat(front, 1)]
    for i in range(3):
        kernel, bias = layer("conv2d", 5 + i)  # [out, 1, time, in]
        made = norm(F.relu(F.conv1d(hidden[-1], kernel[:, 0].mT, bias, padding=3)), 6 + i, 1)
        hidden.append(made if i == 0 else made + hidden[-1])
    heard = torch.cat(hidden, 1)
    pooled = norm(torch.stack([heard.amax(2), heard.mean(2)], 2).flatten(1), 9, 1)
    dense = norm(F.relu(F.linear(pooled, *layer("dense", 0))), 10, 1)
    return F.linear(dense, *layer("dense", 1))


def test_the_folded_network_computes_what_was_published() -> None:
    """Any weights, rising and falling batch norms: the folded network equals the unfolded one."""
    variables = random_variables()
    network = musicnn.Network()
    made = fetch_musicnn.convert(variables)
    network.load_state_dict({k: torch.from_numpy(v) for k, v in made.items()})
    patches = torch.rand(1, musicnn.PATCH_FRAMES, musicnn.MELS, generator=torch.manual_seed(0))
    with torch.inference_mode():
        logits, _ = network(patches)
        wanted = as_published(variables, patches)
    np.testing.assert_allclose(logits.numpy(), wanted.numpy(), atol=2e-4)


def test_the_front_end_is_librosas() -> None:
    mel = librosa.feature.melspectrogram(
        y=chirp(), sr=RATE_HZ, n_fft=512, hop_length=256, n_mels=96, pad_mode="reflect"
    )
    wanted = np.log10(10000 * mel.T + 1)[: 3 * 187].reshape(3, 187, 96)
    found = musicnn.patches_of(chirp(), musicnn.mel_bank()).numpy()
    np.testing.assert_allclose(found, wanted, atol=2e-5)


def test_real_weights_give_the_published_logits(tagger: MusicnnTagger) -> None:
    (heard,) = tagger.extract([Sound(chirp()[None], RATE_HZ)])
    np.testing.assert_allclose(heard.logits[:8], PUBLISHED["MSD"], atol=2e-4)
    np.testing.assert_allclose(heard.logits[50:58], PUBLISHED["MTT"], atol=2e-4)


# --- the tagger --------------------------------------------------------------------------------


def test_names_are_unique_and_lower_case(tagger: MusicnnTagger) -> None:
    assert len(tagger.labels) == 100
    assert len(tagger.names) == len(set(tagger.names)) == 92
    assert all(name == name.strip().lower() for name in tagger.names)


def test_a_word_known_twice_gets_the_mean(tagger: MusicnnTagger) -> None:
    sound = some_music(0)
    row = tagger.probabilities([sound])[0]
    both = [i for i, label in enumerate(tagger.labels) if label == "guitar"]
    (heard,) = tagger.extract([sound])
    assert len(both) == 2
    assert row[tagger.names.index("guitar")] == pytest.approx(heard.probabilities[both].mean())
    assert row.dtype == np.float32 and row.min() >= 0 and row.max() <= 1


def test_a_sound_is_heard_once(tagger: MusicnnTagger, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = some_music(0)
    first = tagger.probabilities([sound])
    monkeypatch.setattr(tagger, "_run", lambda sounds: pytest.fail("heard again"))
    np.testing.assert_array_equal(tagger.probabilities([sound]), first)


def test_batch_mates_change_nothing(tagger: MusicnnTagger) -> None:
    alone = [tagger.probabilities([some_music(i)])[0] for i in range(3)]
    broken = Sound(np.full((1, 44100), np.nan, np.float32), 44100)
    together = tagger.probabilities([some_music(2), broken, some_music(0), some_music(1)])
    np.testing.assert_allclose(together[[2, 3, 0]], alone, atol=1e-5)
    assert np.isnan(together[1]).all()


def test_the_batched_path_gives_the_same(tagger: MusicnnTagger) -> None:
    """What a GPU does, patches of many sounds at once, differs by rounding alone."""
    sounds = [some_music(i, duration_s) for i, duration_s in enumerate((3.2, 1.0, 6.5))]
    one_by_one = [heard.logits for heard in tagger.extract(sounds)]
    np.testing.assert_allclose([h.logits for h in tagger._run(sounds)], one_by_one, atol=1e-4)


def test_a_short_sound_is_repeated(tagger: MusicnnTagger) -> None:
    """It is heard as what it would be if it went on like that."""
    short = sine(1.0, rate_hz=RATE_HZ)
    longer = Sound(np.tile(short, 3)[:, : musicnn.PATCH_SAMPLES], RATE_HZ)
    np.testing.assert_allclose(
        tagger.probabilities([Sound(short, RATE_HZ)]), tagger.probabilities([longer]), atol=1e-6
    )


def test_no_sound_and_no_samples(tagger: MusicnnTagger) -> None:
    assert tagger.probabilities([]).shape == (0, 92)
    with pytest.raises(EndOfAudio, match=r"empty\.wav"):
        tagger.probabilities([Sound(np.zeros((2, 0), np.float32), 44100, "empty.wav")])


def test_the_tagger_is_chosen_by_reference(tmp_path: Path) -> None:
    assert resolve("embedded", TAGGERS).model_id == "musicnn-0.1.0"
    with pytest.raises(ConfigError):
        resolve("embedded@x", TAGGERS)
    with pytest.raises(WeightsMissing, match="models fetch"):
        resolve("embedded", TAGGERS, cache=tmp_path)
