"""Generation in latent space: solvers, and `sample`, which puts model, guidance and solver together.

ddim     eps, v, x0   as released: equal to diffusers' DDIMScheduler (leading, steps_offset 1)
dpm++    eps, v, x0   diffusers' DPMSolverMultistepScheduler (arXiv 2211.01095), second order
unipc    eps, v, x0   diffusers' UniPCMultistepScheduler (arXiv 2302.04867)
euler    flow         equal steps of sigma from 1 to 0
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ...schemas.errors import ConfigError
from ..network.model import QAMDT
from ..network.quality import check_quality
from .config import STEPS, SampleConfig
from .guidance import Condition, Denoiser, check_text, guided
from .objective import BETA_END, BETA_START, Objective, alpha_bars

DIFFUSERS_NAMES = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}


class Noise:
    """Gaussian noise, of each sample from its own seed: a sample never depends on its batch.

    Drawn on the CPU, so that a seed means the same on every device.
    """

    def __init__(self, seeds: Sequence[int], shape: tuple[int, ...], like: Tensor) -> None:
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.shape, self.like = shape, like

    def draw(self) -> Tensor:
        """The next noise, [B, *shape]."""
        drawn = [torch.randn(self.shape, generator=g) for g in self.generators]
        return torch.stack(drawn).to(self.like.device)


def ddim_times(steps: int) -> list[int]:
    """The steps that DDIM visits, falling.

    The released arange(0, 1000, 1000 // S) + 1 where S divides 1000; other S keep their count and
    begin as near to the noise as they should, which the released ones do not.
    """
    offset = 1 if steps < STEPS else 0  # 1000 steps have no room for an offset
    return [i * STEPS // steps + offset for i in range(steps)][::-1]


def ddim(denoise: Denoiser, noise: Noise, objective: Objective, config: SampleConfig) -> Tensor:
    """DDIM (arXiv 2010.02502, eq. 12 and 16). The last step goes to alpha_bar[0], as released."""
    x, times = noise.draw(), ddim_times(config.steps)
    bars = alpha_bars()
    for time, after in zip(times, [*times[1:], 0], strict=True):
        t = torch.full((len(x),), float(time), device=x.device)
        output = denoise(x, t).float()
        clean, eps = objective.to_clean(output, x, t), objective.to_noise(output, x, t)
        now, then = float(bars[time]), float(bars[after])
        sigma = config.eta * ((1 - then) / (1 - now) * (1 - now / then)) ** 0.5
        x = then**0.5 * clean + (1 - then - sigma**2) ** 0.5 * eps
        if sigma > 0:
            x = x + sigma * noise.draw()
    return x


def euler(denoise: Denoiser, noise: Noise, objective: Objective, config: SampleConfig) -> Tensor:
    """dx = v dsigma with v = eps - x0, in equal steps from sigma 1 to 0."""
    x = noise.draw()
    sigmas = torch.linspace(1, 0, config.steps + 1, dtype=torch.float64).tolist()
    for now, then in pairwise(sigmas):
        t = torch.full((len(x),), now * STEPS, device=x.device)
        x = x + (then - now) * denoise(x, t).float()
    return x


def multistep(
    denoise: Denoiser, noise: Noise, objective: Objective, config: SampleConfig
) -> Tensor:
    """DPM-Solver++ or UniPC, by diffusers."""
    x, scheduler = noise.draw(), _scheduler(config.solver, objective.config.prediction)
    scheduler.set_timesteps(config.steps, device=x.device)
    for time in scheduler.timesteps:
        t = time.float().expand(len(x))
        x = scheduler.step(denoise(x, t).float(), time, x, return_dict=False)[0]
    return x


def _scheduler(solver: str, prediction: str) -> Any:
    try:
        from diffusers import DPMSolverMultistepScheduler, UniPCMultistepScheduler
    except ImportError as e:
        raise ConfigError(
            f"solver = {solver!r} needs diffusers: pip install 'qamdt[train]', or choose ddim"
        ) from e
    kind = DPMSolverMultistepScheduler if solver == "dpm++" else UniPCMultistepScheduler
    return kind(
        num_train_timesteps=STEPS, beta_start=BETA_START, beta_end=BETA_END,
        beta_schedule="scaled_linear", solver_order=2, prediction_type=DIFFUSERS_NAMES[prediction],
    )  # fmt: skip


Solver = Callable[[Denoiser, Noise, Objective, SampleConfig], Tensor]
SOLVER_FUNCTIONS: dict[str, Solver] = {
    "ddim": ddim, "dpm++": multistep, "unipc": multistep, "euler": euler,
}  # fmt: skip


def solver_of(objective: Objective, config: SampleConfig) -> Solver:
    """The configured solver. Raises ConfigError where it cannot solve what the network predicts."""
    if (config.solver == "euler") != objective.is_flow:
        wanted = "euler" if objective.is_flow else "ddim, dpm++ or unipc"
        raise ConfigError(
            f"solver = {config.solver!r}: the network predicts {objective.config.prediction}; "
            f"expected {wanted}"
        )
    return SOLVER_FUNCTIONS[config.solver]


@torch.no_grad()
def sample(
    model: QAMDT, objective: Objective, text: Tensor, text_mask: Tensor, quality: Tensor | float,
    config: SampleConfig, seeds: Sequence[int], null_text: Tensor, null_text_mask: Tensor,
    low_quality: float = 1.0, shape: tuple[int, int, int] | None = None,
) -> Tensor:  # fmt: skip
    """Latents float32 [B, C, T, F], one for each seed.

    text            float [B, S, E], text_mask bool [B, S]
    quality         1..5, any number between, one for all or [B]; 0 = not said
    null_text       float [1 or B, S0, E], the empty prompt's states or a negative prompt's, and its mask
    low_quality     quality of the second answer of guidance; 0 = not said; released 3
    shape           (C, T, F), by default the model's

    Raises ConfigError for a quality outside 1..5, a text without tokens, a solver that does not fit,
    and a number of seeds that is not B.
    """
    if len(seeds) != len(text):
        raise ConfigError(f"{len(seeds)} seeds for {len(text)} texts: expected one for each")
    solve = solver_of(objective, config)
    levels = torch.as_tensor(quality, dtype=torch.float32, device=text.device).expand(len(text))
    for level in (*levels.tolist(), low_quality):
        check_quality(level)
    conditional = check_text(Condition(text, text_mask, levels))
    unconditional = check_text(
        Condition(null_text, null_text_mask, levels.new_full((1,), low_quality))
    )
    denoise = guided(
        model, conditional, unconditional, guidance=config.guidance, form=config.form,
        rescale=config.rescale,
        on=lambda t: config.interval_low <= t / STEPS <= config.interval_high,
    )  # fmt: skip
    noise = Noise(seeds, shape or model.config.shape, text)
    return solve(denoise, noise, objective, config)
