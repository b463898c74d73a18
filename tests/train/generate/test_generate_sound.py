"""From a network to sound files: takes that follow from prompt, level and seed alone."""

from __future__ import annotations

import dataclasses
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from builders import music
from codec_builders import tiny_diffusers
from typer.testing import CliRunner

from qamdt.schemas.errors import ConfigError, StoreError
from qamdt.schemas.settings import from_toml, override, to_plain, to_toml
from qamdt.train.audio_config import AudioConfig, MakeConfig, ModelsConfig
from qamdt.train.cli import app
from qamdt.train.codec.base import name_of
from qamdt.train.codec.kinds import CODECS
from qamdt.train.codec.text_encoders import MiniLmText
from qamdt.train.codec.text_encoders import name_of as text_name
from qamdt.train.config import Config
from qamdt.train.diffusion.config import ObjectiveConfig, SampleConfig
from qamdt.train.diffusion.guidance import Condition, guided
from qamdt.train.diffusion.objective import Objective
from qamdt.train.diffusion.solvers import Noise, sample
from qamdt.train.diffusion.variation import vary
from qamdt.train.diffusion.windowed import Windowed, window_starts
from qamdt.train.generate.audio_files import file_name, read_about, write_list, write_sound
from qamdt.train.generate.generate import make_sounds, read_prompts
from qamdt.train.generate.pipeline import Generator, Prompt, prefix_of
from qamdt.train.loop.checkpoint import write_tensors
from qamdt.train.network.config import ModelConfig
from qamdt.train.network.model import QAMDT

MODEL = ModelConfig(
    width=16,
    depth=4,
    decoder_depth=2,
    heads=2,
    frames=32,
    patch_frames=8,
    patch_bands=4,
    text_width=384,
)


def network(config: ModelConfig = MODEL) -> QAMDT:
    """Random weights everywhere: an untrained network answers 0, which proves nothing."""
    torch.manual_seed(0)
    made = QAMDT(config)
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    return made.eval()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file as `fit` writes it, for the tiny codec beside it."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("run")
    codec = CODECS["diffusers"](str(tiny_diffusers(folder / "codec")))
    about = {
        "config": to_plain(dataclasses.replace(Config(), model=MODEL)),
        "latents": {"scale": 0.5, "codec": name_of(codec)},
        "text": {"encoder": text_name(MiniLmText())},
    }
    write_tensors(folder / "weights.safetensors", network().state_dict(), 7, about)
    return folder / "weights.safetensors"


@pytest.fixture
def config(run: Path) -> AudioConfig:
    return AudioConfig(
        models=ModelsConfig(codec=f"diffusers@{run.parent / 'codec'}", device="cpu"),
        make=MakeConfig(seconds=1.2),
        sample=SampleConfig(steps=3),
    )


def _with(config: AudioConfig, **make: object) -> AudioConfig:
    return override(config, "make", make)


# --- takes ---------------------------------------------------------------------------------------


def test_a_take_is_the_same_in_any_company(run: Path, config: AudioConfig) -> None:
    """To the bit: alone, in another order, beside longer prompts."""
    studio = Generator(run, config)
    prompts = [Prompt("slow piano", 5.0, 3), Prompt("a long, fast and loud drum solo", 1.0, 4)]
    together = list(studio.takes(prompts))
    alone = [next(iter(studio.takes([p]))) for p in reversed(prompts)][::-1]
    for a, b in zip(together, alone, strict=True):
        assert np.array_equal(a.wave, b.wave)
        assert a.wave.shape == (round(1.2 * 16000),)
    assert not np.array_equal(together[0].wave, together[1].wave)


def test_prompt_level_and_seed_are_heard(run: Path, config: AudioConfig) -> None:
    studio = Generator(run, config)
    base = Prompt("slow piano", 5.0, 3)
    first, *others = [
        t.latent
        for t in studio.takes([
            base, dataclasses.replace(base, text="drums"), dataclasses.replace(base, quality=2.0),
            dataclasses.replace(base, seed=4),
        ])
    ]  # fmt: skip
    assert all(float((first - other).abs().max()) > 1e-4 for other in others)


def test_latents_are_unscaled_for_the_codec(run: Path, config: AudioConfig) -> None:
    studio = Generator(run, config)
    take = next(iter(studio.takes([Prompt("piano")])))
    wanted = studio.codec.vocode(studio.codec.decode(take.latent[None] / 0.5))[0]
    assert np.array_equal(take.wave, wanted[: len(take.wave)].numpy())


def test_the_level_puts_its_prefix_before_the_prompt(run: Path, config: AudioConfig) -> None:
    studio = Generator(run, config)
    assert [prefix_of(q) for q in (1, 2, 3, 4, 5, 4.8, 0)] == [
        "low quality", None, "medium quality", None, "high quality", "high quality", None,
    ]  # fmt: skip
    assert studio.text_of(Prompt("piano", 1)) == "low quality, piano"
    assert studio.text_of(Prompt("piano", 2)) == "piano"
    assert Generator(run, _with(config, prefix="none")).text_of(Prompt("piano", 1)) == "piano"


def test_another_codec_or_encoder_is_refused(
    run: Path, config: AudioConfig, tmp_path: Path
) -> None:
    other = tiny_diffusers(tmp_path / "other")
    state = other / "vae" / "diffusion_pytorch_model.safetensors"
    state.write_bytes(state.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(ConfigError, match="choose with --codec"):
        Generator(run, override(config, "models", {"codec": f"diffusers@{other}"}))
    with pytest.raises(ConfigError, match="1 to 5"):
        next(iter(Generator(run, config).takes([Prompt("x", 6.0)])))


# --- longer than a window --------------------------------------------------------------------------


def test_windows_cover_everything_with_their_overlap() -> None:
    for frames in (33, 40, 64, 100, 257):
        starts = window_starts(frames, 32, 0.25)
        assert starts[0] == 0 and starts[-1] == frames - 32
        assert all(0 < b - a <= 24 for a, b in pairwise(starts))
    assert window_starts(20, 32, 0.5) == [0]
    with pytest.raises(ConfigError, match="overlap"):
        window_starts(64, 32, 1.0)


class Pointwise(torch.nn.Module):
    """A real network without a view beyond a frame: windows must not be seen in its answer."""

    def forward(self, x: torch.Tensor, t: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return torch.tanh(x * 2 + t[:, None, None, None] / 1000)


def test_windows_leave_no_seam() -> None:
    torch.manual_seed(0)
    x, t = torch.randn(2, 8, 90, 16), torch.tensor([3.0, 700.0])
    nothing = torch.zeros(2, 1, 4), torch.ones(2, 1, dtype=torch.bool), torch.zeros(2)
    whole = Pointwise()(x, t)
    for overlap in (0.0, 0.25, 0.6):
        torch.testing.assert_close(Windowed(Pointwise(), 32, overlap)(x, t, *nothing), whole)


def test_a_window_of_the_own_length_is_the_network() -> None:
    torch.manual_seed(1)
    x, t, net = torch.randn(1, 8, 32, 16), torch.tensor([500.0]), network()
    given = torch.randn(1, 5, 384), torch.ones(1, 5, dtype=torch.bool), torch.tensor([4.0])
    with torch.no_grad():
        torch.testing.assert_close(Windowed(net, 32, 0.25)(x, t, *given), net(x, t, *given))
    with pytest.raises(ConfigError, match="expected at least 32"):
        Windowed(net, 32, 0.25)(x[:, :, :16], t, *given)


def test_longer_sounds_are_as_long_as_asked(run: Path, config: AudioConfig) -> None:
    studio = Generator(run, _with(config, seconds=3.1))
    take = next(iter(studio.takes([Prompt("piano")])))
    assert take.latent.shape == (8, 78, 16)
    assert take.wave.shape == (round(3.1 * 16000),)
    assert np.abs(take.wave).max() > 0


# --- variation -------------------------------------------------------------------------------------


@pytest.mark.parametrize("prediction", ["eps", "v", "x0", "flow"])
def test_variation_of_strength_1_is_a_generation(prediction: str) -> None:
    """From (almost) pure noise the given latent is forgotten; of strength 0 it is given back."""
    objective = Objective(ObjectiveConfig(prediction=prediction))
    solver = "euler" if prediction == "flow" else "ddim"
    config, net = SampleConfig(solver=solver, steps=10, guidance=1.0), network()
    text, mask = torch.randn(1, 4, 384), torch.ones(1, 4, dtype=torch.bool)
    null, null_mask = torch.zeros(1, 1, 384), torch.ones(1, 1, dtype=torch.bool)
    wanted = sample(net, objective, text, mask, 5.0, config, [3], null, null_mask)
    conditional = Condition(text, mask, torch.tensor([5.0]))
    unconditional = Condition(null, null_mask, torch.tensor([1.0]))
    denoise = guided(net, conditional, unconditional, guidance=1.0, form="paper")
    clean = torch.zeros(1, *MODEL.shape)
    with torch.no_grad():
        noise = Noise([3], MODEL.shape, text)
        made = vary(denoise, clean, noise, objective, config, 1.0)
        same = vary(denoise, clean, Noise([3], MODEL.shape, text), objective, config, 0.0)
    # eps at the noisiest step divides by sqrt(alpha_bar): a small share of the start is seen
    scale = float(wanted.abs().mean())
    assert float((made - wanted).abs().mean()) < 0.02 * scale
    assert torch.equal(same, clean)


def test_an_exact_network_ends_at_its_latent_from_any_strength() -> None:
    """The steps of a variation are right: whoever predicts one latent exactly arrives there."""
    objective, config = Objective(ObjectiveConfig(prediction="eps")), SampleConfig(steps=20)
    torch.manual_seed(2)
    clean, other = torch.randn(1, 2, 4, 4), torch.randn(1, 2, 4, 4)

    def towards_other(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        level = objective.noised(torch.zeros_like(x), torch.ones_like(x), t)
        return (x - objective.noised(other, torch.zeros_like(x), t)) / level

    for strength in (0.1, 0.4, 1.0):
        made = vary(towards_other, clean, Noise([0], (2, 4, 4), clean), objective, config, strength)
        assert float((made - other).abs().mean()) < 0.2  # DDIM leaves the noise of alpha_bar[0]
    with pytest.raises(ConfigError, match="strength"):
        vary(towards_other, clean, Noise([0], (2, 4, 4), clean), objective, config, 1.5)


def test_variation_keeps_what_the_strength_leaves(run: Path, config: AudioConfig) -> None:
    """strength 0 is the sound through the codec; more strength is farther from it."""
    sound = music(1.3, seed=1, rate_hz=16000).mean(0)
    takes = []
    for strength in (0.0, 0.35, 1.0):
        studio = Generator(run, _with(config, strength=strength))
        takes.append(next(iter(studio.takes([Prompt("piano")], sound))).latent)
    through = studio._latent_of(sound)[0]
    assert torch.equal(takes[0], through)
    far = [float((t - through).abs().mean()) for t in takes]
    assert 0 == far[0] < far[1]
    assert not torch.equal(takes[1], takes[2])


# --- files -----------------------------------------------------------------------------------------


def test_files_say_what_made_them(run: Path, config: AudioConfig, tmp_path: Path) -> None:
    prompts = [Prompt("Slow piano, rain!", 5.0, 3), Prompt("drums", 1.0, 3)]
    lines = make_sounds(
        run, tmp_path, prompts, _with(config, n=2, format="flac"), log=lambda s: None
    )
    assert [line["file"] for line in lines] == [
        "slow-piano-rain-q5-s3.flac", "slow-piano-rain-q5-s4.flac", "drums-q1-s3.flac",
        "drums-q1-s4.flac",
    ]  # fmt: skip
    for line in lines:
        with sf.SoundFile(tmp_path / line["file"]) as file:
            assert (file.samplerate, file.channels, file.title) == (16000, 1, line["prompt"])
        assert read_about(tmp_path / line["file"]) == line
    assert lines[0]["text"] == "high quality, Slow piano, rain!"
    assert lines[0]["codec"].startswith("diffusers:codec ") and lines[0]["vocoder"] == "hifi-gan"
    listed = [json.loads(x) for x in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert listed == lines


def test_the_best_of_n_are_those_most_similar(
    run: Path, config: AudioConfig, tmp_path: Path
) -> None:
    """Measured by the match model over all candidates, written best first."""
    wide = _with(config, seconds=1.2, n=3, best=2)
    studio = Generator(run, wide)
    candidates = [Prompt("piano", 5.0, seed) for seed in range(3)]
    ranked = studio.ranked(list(studio.takes(candidates)))
    near = [t.similarity for t in ranked]
    assert near == sorted(near, reverse=True)  # type: ignore[type-var]
    lines = make_sounds(run, tmp_path, candidates[:1], wide, log=lambda s: None)
    assert [line["seed"] for line in lines] == [t.prompt.seed for t in ranked[:2]]
    assert len(list(tmp_path.glob("*.wav"))) == 2
    with pytest.raises(ConfigError, match="best"):
        MakeConfig(n=2, best=3)


def test_prompt_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("slow piano\n\n fast drums \n")
    assert read_prompts(tmp_path / "a.txt", 4.0, 7) == [
        Prompt("slow piano", 4.0, 7), Prompt("fast drums", 4.0, 7),
    ]  # fmt: skip
    (tmp_path / "b.jsonl").write_text('{"prompt": "a", "quality": 2}\n{"prompt": "b", "seed": 9}\n')
    assert read_prompts(tmp_path / "b.jsonl", 4.0, 7) == [Prompt("a", 2.0, 7), Prompt("b", 4.0, 9)]
    (tmp_path / "c.jsonl").write_text('{"prompt": "a"}\n{"text": "b"}\n')
    with pytest.raises(ConfigError, match="line 2"):
        read_prompts(tmp_path / "c.jsonl", 4.0, 7)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_prompts(tmp_path / "none.txt", 4.0, 7)


def test_a_loud_sound_is_turned_down_not_clipped(tmp_path: Path) -> None:
    wave = np.sin(np.arange(1600) / 5).astype(np.float32) * 3
    write_sound(tmp_path / "x.wav", wave, 16000, {"prompt": "x"})
    back, _ = sf.read(tmp_path / "x.wav")
    np.testing.assert_allclose(back, wave / 3 * 0.99, atol=2e-4)
    sf.write(tmp_path / "plain.wav", wave / 4, 16000)
    with pytest.raises(StoreError, match="no sound of ours"):
        read_about(tmp_path / "plain.wav")


def test_the_list_keeps_other_files_lines(tmp_path: Path) -> None:
    write_list(tmp_path, [{"file": "a", "seed": 0}, {"file": "b", "seed": 0}])
    path = write_list(tmp_path, [{"file": "b", "seed": 1}])
    lines = [json.loads(x) for x in path.read_text().splitlines()]
    assert lines == [{"file": "a", "seed": 0}, {"file": "b", "seed": 1}]
    assert file_name("../../etc/passwd", 4.5, 0, "wav") == "etc-passwd-q4.5-s0.wav"
    assert file_name("", 1, 2, "wav") == "no-prompt-q1-s2.wav"


# --- command line ------------------------------------------------------------------------------------


def test_the_command(run: Path, config: AudioConfig, tmp_path: Path) -> None:
    conditional = [
        "generate", str(run), "--prompt", "piano", "--quality", "5", "--quality", "1", "--seconds",
        "1", "--n", "1", "--steps", "2", "--guidance", "3.5", "--negative", "low quality", "--seed",
        "4", "--codec", config.models.codec, "--out", str(tmp_path),
    ]  # fmt: skip
    done = CliRunner().invoke(app, conditional)
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in tmp_path.glob("*.wav")) == ["piano-q1-s4.wav", "piano-q5-s4.wav"]
    about = read_about(tmp_path / "piano-q5-s4.wav")
    assert (about["guidance"], about["steps"], about["negative"]) == (3.5, 2, "low quality")
    none = CliRunner().invoke(app, ["generate", str(run), "--codec", config.models.codec])
    assert isinstance(none.exception, ConfigError)


def test_settings_read_back(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["generate", "x", "--show-config", "--n", "4", "--best", "2"])
    assert shown.exit_code == 0, shown.output
    (tmp_path / "a.toml").write_text(shown.output)
    config = from_toml(tmp_path / "a.toml", AudioConfig())
    assert (config.make.n, config.make.best) == (4, 2)
    assert to_toml(config) == shown.output
