"""Guidance and solvers: identities, diffusers' schedulers, the exact field of flow."""

import pytest
import torch
from torch import Tensor
from train_builders import Inputs, inputs, network

from qamdt.schemas.errors import ConfigError
from qamdt.train.diffusion.config import PREDICTIONS, ObjectiveConfig, SampleConfig
from qamdt.train.diffusion.guidance import Condition, combine, guided, rescaled
from qamdt.train.diffusion.objective import Objective
from qamdt.train.diffusion.solvers import Noise, ddim_times, sample, solver_of
from qamdt.train.network.model import QAMDT


def objective(prediction: str = "eps") -> Objective:
    return Objective(ObjectiveConfig(prediction=prediction))


def conditions(net: QAMDT, batch: int = 2) -> tuple[Inputs, Condition, Condition]:
    x = inputs(net.config, batch)
    empty = torch.randn(1, 2, net.config.text_width, generator=torch.Generator().manual_seed(5))
    conditional = Condition(x.text, x.text_mask, torch.tensor([5.0, 4.5])[:batch])
    return x, conditional, Condition(empty, torch.ones(1, 2, dtype=torch.bool), torch.ones(1))


def make(net: QAMDT, config: SampleConfig, prediction: str = "eps", **more: object) -> Tensor:
    x, conditional, unconditional = conditions(net)
    given = {"quality": conditional.quality, "seeds": [3, 4]} | more
    return sample(
        net, objective(prediction), x.text, x.text_mask, config=config, null_text=unconditional.text,
        null_text_mask=unconditional.text_mask, **given,
    )  # fmt: skip


@torch.no_grad()
def test_guidance_is_its_formula_and_one_forward() -> None:
    """The batched pair equals two passes; paper's w is the common s = 1 + w; s 1 and 0 are the parts."""
    net = network()
    x, conditional, unconditional = conditions(net)
    first = net(x.latents, x.t, *conditional)
    wide = Condition(*(v.expand(2, *v.shape[1:]) for v in unconditional))
    second = net(x.latents, x.t, *wide)
    want = first + 2.5 * (first - second)
    for form, guidance in (("paper", 2.5), ("common", 3.5)):
        got = guided(net, conditional, unconditional, guidance=guidance, form=form)(x.latents, x.t)
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(combine(first, second, 1.0, "common"), first)
    assert torch.equal(combine(first, second, 0.0, "common"), second)
    assert torch.equal(combine(first, second, 0.0, "paper"), first)


@torch.no_grad()
def test_the_second_answers_quality_is_as_configured() -> None:
    """A level, or 0: the null vector."""
    net = network()
    x, conditional, unconditional = conditions(net)
    answers = []
    for low in (1.0, 3.0, 0.0):
        lower = unconditional._replace(quality=torch.tensor([low]))
        answer = guided(net, conditional, lower, guidance=0.0, form="common")(x.latents, x.t)
        wide = Condition(*(v.expand(2, *v.shape[1:]) for v in lower))
        torch.testing.assert_close(answer, net(x.latents, x.t, *wide), atol=1e-5, rtol=1e-5)
        answers.append(answer)
    assert not torch.allclose(answers[0], answers[1]) and not torch.allclose(answers[1], answers[2])


def test_rescaling_restores_the_deviation() -> None:
    conditional, wild = torch.randn(2, 3, 4, 5), 7 * torch.randn(2, 3, 4, 5)
    axes = (1, 2, 3)
    torch.testing.assert_close(rescaled(wild, conditional, 1.0).std(axes), conditional.std(axes))
    assert torch.equal(rescaled(wild, conditional, 0.0), wild)
    torch.testing.assert_close(
        rescaled(wild, conditional, 0.25), 0.25 * rescaled(wild, conditional, 1.0) + 0.75 * wild
    )


def test_the_interval_turns_guidance_off_outside() -> None:
    """Batches of 2 B inside [0.3, 0.7] of the noise range, of B outside."""
    net = network()
    rows: list[tuple[float, int]] = []
    net.register_forward_pre_hook(lambda m, given: rows.append((float(given[1][0]), len(given[0]))))
    make(net, SampleConfig(steps=20, interval_low=0.3, interval_high=0.7))
    assert len(rows) == 20
    assert all(n == (4 if 300 <= t <= 700 else 2) for t, n in rows)
    assert {n for _, n in rows} == {2, 4}


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("steps", [50, 100, 200])
def test_ddim_is_diffusers(steps: int, eta: float) -> None:
    """Same times, same noise: equal to 1e-5 (relative to the largest value)."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        beta_start=0.0015, beta_end=0.0195, beta_schedule="scaled_linear", clip_sample=False,
        set_alpha_to_one=False, steps_offset=1, timestep_spacing="leading",
    )  # fmt: skip
    scheduler.set_timesteps(steps)
    assert scheduler.timesteps.tolist() == ddim_times(steps)

    def eps(x: Tensor, t: Tensor) -> Tensor:
        return torch.tanh(x) * (0.2 + t[0] / 1500)

    def noise() -> Noise:
        return Noise([1, 2], (2, 4, 3), torch.zeros(1))

    config = SampleConfig(steps=steps, eta=eta)
    got = solver_of(objective(), config)(eps, noise(), objective(), config)
    theirs = noise()
    x = theirs.draw()
    for t in scheduler.timesteps:
        fresh = theirs.draw() if eta else None
        out = eps(x, t.float()[None])
        x = scheduler.step(out, t, x, eta=eta, variance_noise=fresh, return_dict=False)[0]
    assert (got - x).abs().max() <= 1e-5 * x.abs().max()


@pytest.mark.parametrize("steps", [1, 3, 7, 30, 150, 333, 501, 999, 1000])
def test_any_number_of_steps(steps: int) -> None:
    """As many as asked for, falling, in range, from near the noise: not 31 or 167, as released."""
    times = ddim_times(steps)
    assert len(set(times)) == steps and sorted(times, reverse=True) == times
    assert times[-1] >= 0 and times[0] <= 999
    assert times[0] >= 1000 - 1000 / steps - 1


@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
@pytest.mark.parametrize("solver", ["ddim", "dpm++", "unipc"])
def test_solvers_find_the_only_answer(solver: str, prediction: str) -> None:
    """Data of a single point: the exact prediction leads every solver there."""
    point, o = torch.full((2, 2, 4, 3), 0.7), objective(prediction)

    def exact(x: Tensor, t: Tensor) -> Tensor:
        signal, level = o.levels(t)
        return o.target(point, (x - signal * point) / level, t)

    config = SampleConfig(solver=solver, steps=25)
    noise = Noise([1, 2], (2, 4, 3), point)
    got = solver_of(o, config)(exact, noise, o, config)
    # ddim stops at alpha_bar[0], where 4% of noise is left, as released
    assert (got - point).abs().max() < (0.2 if solver == "ddim" else 2e-2)


def test_euler_recovers_data_on_the_exact_field() -> None:
    """v = eps - x0 is constant along the way of a single point: any number of steps arrives."""
    point, o = torch.randn(2, 2, 4, 3), objective("flow")
    for steps in (1, 7):
        config = SampleConfig(solver="euler", steps=steps)
        noise = Noise([1, 2], (2, 4, 3), point)

        def field(x: Tensor, t: Tensor) -> Tensor:
            sigma = (t / 1000)[:, None, None, None]
            return (x - point) / sigma

        got = solver_of(o, config)(field, noise, o, config)
        torch.testing.assert_close(got, point, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_samples_are_their_seeds_alone(prediction: str) -> None:
    """Another batch, another order: the same latents; another seed: others. Noise of eta 1 too."""
    net = network()
    flow = prediction == "flow"
    config = SampleConfig(solver="euler" if flow else "ddim", steps=4, eta=0.0 if flow else 1.0)
    x, conditional, unconditional = conditions(net)
    rest = (unconditional.text, unconditional.text_mask)
    both = make(net, config, prediction)
    assert both.shape == (2, *net.config.shape) and both.isfinite().all()
    second = sample(
        net,
        objective(prediction),
        x.text[1:],
        x.text_mask[1:],
        conditional.quality[1:],
        config,
        [4],
        *rest,
    )
    torch.testing.assert_close(second[0], both[1], atol=1e-3, rtol=1e-3)
    other = make(net, config, prediction, seeds=[3, 5])
    torch.testing.assert_close(other[0], both[0], atol=1e-3, rtol=1e-3)
    assert not torch.allclose(other[1], both[1], atol=1e-2)


def test_what_cannot_be_is_refused() -> None:
    net = network()
    x, *_ = conditions(net)
    with pytest.raises(ConfigError, match="expected euler"):
        make(net, SampleConfig(solver="ddim"), "flow")
    with pytest.raises(ConfigError, match="expected ddim, dpm"):
        make(net, SampleConfig(solver="euler"), "v")
    with pytest.raises(ConfigError, match="1 seeds for 2 texts"):
        make(net, SampleConfig(), seeds=[1])
    with pytest.raises(ConfigError, match=r"quality = 6.0: expected 1 to 5"):
        make(net, SampleConfig(), quality=6.0)
    with pytest.raises(ConfigError, match="no token"):
        empty = torch.zeros_like(x.text_mask)
        sample(net, objective(), x.text, empty, 5.0, SampleConfig(), [1, 2], x.text, x.text_mask)
    for wrong in ({"steps": 0}, {"steps": 1001}, {"rescale": 2.0}, {"solver": "heun"}):
        with pytest.raises(ConfigError, match="expected"):
            SampleConfig(**wrong)
