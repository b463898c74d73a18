"""Schedule, targets, min-SNR weights and times, by their laws."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qamdt.schemas.errors import ConfigError
from qamdt.train.diffusion.config import PREDICTIONS, ObjectiveConfig
from qamdt.train.diffusion.objective import Objective, alpha_bars

SHAPE = (2, 4, 3)


def objective(prediction: str, gamma: float | None = None, **more: object) -> Objective:
    return Objective(ObjectiveConfig(prediction=prediction, min_snr_gamma=gamma, **more))


def some(n: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """clean, noise [n, *SHAPE] and t from 1 to 999."""
    g = torch.Generator().manual_seed(seed)
    clean, noise = torch.randn(2, n, *SHAPE, generator=g)
    return clean, noise, torch.linspace(1, 999, n).floor()


def test_the_schedule_is_the_released_one() -> None:
    """0.9985 .. 1.423e-4, as diffusers' scaled_linear."""
    from diffusers import DDIMScheduler

    bars = alpha_bars()
    assert bars[0] == pytest.approx(0.9985, abs=1e-9)
    assert bars[-1] == pytest.approx(1.423e-4, rel=1e-3)
    theirs = DDIMScheduler(beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear")
    torch.testing.assert_close(bars.float(), theirs.alphas_cumprod, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_a_right_answer_gives_back_both_parts(prediction: str) -> None:
    """to_clean and to_noise of the target are x0 and eps, and its loss is 0."""
    o = objective(prediction, 5.0)
    clean, noise, t = some()
    noised, target = o.noised(clean, noise, t), o.target(clean, noise, t)
    near = {"atol": 2e-4, "rtol": 1e-3}  # eps at t = 999: divided by sqrt(1.4e-4)
    torch.testing.assert_close(o.to_clean(target, noised, t), clean, **near)
    torch.testing.assert_close(o.to_noise(target, noised, t), noise, **near)
    assert o.loss(target, clean, noise, t).tolist() == [0.0] * 6


def test_targets_are_the_formulas() -> None:
    clean, noise, t = some()
    bar = alpha_bars()[t.long()].float()[:, None, None, None]
    torch.testing.assert_close(
        objective("v").target(clean, noise, t), bar.sqrt() * noise - (1 - bar).sqrt() * clean
    )
    assert torch.equal(objective("flow").target(clean, noise, t), noise - clean)
    half = objective("flow").noised(clean, noise, torch.full((6,), 500.0))
    torch.testing.assert_close(half, (clean + noise) / 2)


@pytest.mark.parametrize("gamma", [0.5, 5.0])
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_min_snr_is_one_loss_of_x0(prediction: str, gamma: float) -> None:
    """Whatever is predicted, the weighted loss is min(SNR, g) times the squared error of x0."""
    o = objective(prediction, gamma)
    clean, noise, t = some()
    noised = o.noised(clean, noise, t)
    output = o.target(clean, noise, t) + 0.1 * torch.randn(6, *SHAPE)
    signal, level = o.levels(t)
    snr = (signal / level).square().flatten()
    error = (o.to_clean(output, noised, t) - clean).square().mean((1, 2, 3))
    torch.testing.assert_close(
        o.loss(output, clean, noise, t), snr.clamp_max(gamma) * error, atol=1e-5, rtol=2e-3
    )


def test_min_snr_weights_are_the_papers() -> None:
    """eps min(SNR,5)/SNR, v min(SNR,5)/(SNR+1), x0 min(SNR,5); without gamma 1."""
    t = torch.tensor([0.0, 200, 500, 999])
    bar = alpha_bars()[t.long()]
    snr = bar / (1 - bar)
    want = {
        "eps": snr.clamp_max(5) / snr, "v": snr.clamp_max(5) / (snr + 1), "x0": snr.clamp_max(5),
    }  # fmt: skip
    for prediction, weight in want.items():
        got = objective(prediction, 5.0).weight(t)
        torch.testing.assert_close(got, weight.float(), atol=1e-5, rtol=1e-3)
    flow = objective("flow", 5.0).weight(torch.tensor([0.0, 500.0, 1000.0]))
    assert flow.tolist() == [0.0, 0.25, 0.0]
    assert objective("eps").weight(t).tolist() == [1.0] * 4


def test_loss_is_per_sample_and_over_all_tokens() -> None:
    clean, noise, t = some()
    output = torch.zeros_like(clean)
    torch.testing.assert_close(
        objective("eps").loss(output, clean, noise, t), noise.square().mean((1, 2, 3))
    )


def draws(n: int, similarity: torch.Tensor | None = None, **config: object) -> torch.Tensor:
    o = Objective(ObjectiveConfig(**config))
    return o.draw_times(n, torch.Generator().manual_seed(0), similarity)


def test_uniform_times() -> None:
    """Whole steps 0..999 for diffusion, all equally often; any number for flow."""
    t = draws(50_000)
    assert t.min() == 0 and t.max() == 999 and torch.equal(t, t.floor())
    assert t.mean() == pytest.approx(499.5, abs=5 * 1000 / 12**0.5 / 50_000**0.5)
    flow = draws(1000, prediction="flow")
    assert flow.min() >= 0 and flow.max() <= 1000 and not torch.equal(flow, flow.floor())


def test_logit_normal_times() -> None:
    """Half below sigmoid(mean), 68% within one deviation of the logit."""
    t = draws(20_000, prediction="flow", timesteps="logit-normal", logit_mean=0.5) / 1000
    middle = 1 / (1 + math.exp(-0.5))
    assert (t < middle).float().mean() == pytest.approx(0.5, abs=0.02)
    assert ((t.logit() - 0.5).abs() < 1).float().mean() == pytest.approx(0.683, abs=0.02)


def test_score_times_send_bad_captions_to_the_noise() -> None:
    """Mean t: 1/2 for a trusted (or unknown) caption, 4/5 for one that says nothing."""
    n = 20_000
    for similarity, mean in ((0.3, 0.5), (0.9, 0.5), (math.nan, 0.5), (0.0, 0.8), (-1.0, 0.8)):
        t = draws(n, torch.full((n,), similarity), prediction="flow", timesteps="score")
        assert t.mean() / 1000 == pytest.approx(mean, abs=0.01)
    middle = draws(n, torch.full((n,), 0.15), prediction="flow", timesteps="score")
    assert middle.mean() / 1000 == pytest.approx(2.5 / 3.5, abs=0.01)  # Beta(2.5, 1)


@given(st.floats(0, 1, exclude_max=True), st.sampled_from(["uniform", "logit-normal", "score"]))
def test_times_rise_with_their_uniform_number(u: float, kind: str) -> None:
    """So a number drawn for a sample gives its t in any batch; and t is in range."""
    for prediction in ("eps", "flow"):
        o = objective(prediction, timesteps=kind)
        pair = torch.tensor([u, min(u + 0.01, 0.9999)], dtype=torch.float64)
        t = o.times_of(pair, torch.tensor([0.1, 0.1]))
        assert t[0] >= 0 and t[1] <= 1000 and (t[0] <= t[1] or u > 0.9999)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected the caption similarity"):
        draws(3, timesteps="score")
    for wrong in (
        {"prediction": "noise"}, {"timesteps": "cosine"}, {"min_snr_gamma": 0.0},
        {"score_low": 0.5}, {"score_tilt": 0.5}, {"logit_std": 0.0},
    ):  # fmt: skip
        with pytest.raises(ConfigError, match="expected"):
            ObjectiveConfig(**wrong)
