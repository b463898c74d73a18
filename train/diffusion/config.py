"""The settings of noising and of generation; no torch at import.

What the names stand for is in objective.py, solvers.py and guidance.py.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...schemas.errors import ConfigError
from ...schemas.settings import between, one_of, setting

STEPS = 1000  # of the diffusion; t goes from 0 (clean) to 1000 (noise)
PREDICTIONS = ("eps", "v", "x0", "flow")
TIMESTEPS = ("uniform", "logit-normal", "score")
SOLVERS = ("ddim", "dpm++", "unipc", "euler")
FORMS = ("paper", "common")


@dataclass(frozen=True)
class ObjectiveConfig:
    """Defaults are the paper's: eps, unweighted, uniform t. Raises ConfigError."""

    prediction: str = setting("eps", "what the network predicts", PREDICTIONS)
    min_snr_gamma: float | None = setting(None, "g of min-SNR weights; released 5; default: none")
    timesteps: str = setting("uniform", "distribution of t in training", TIMESTEPS)
    logit_mean: float = setting(0.0, "logit-normal: mean; positive is noisier")
    logit_std: float = setting(1.0, "logit-normal: deviation")
    score_low: float = setting(0.0, "score: similarity from which down a caption says nothing")
    score_high: float = setting(0.3, "score: similarity from which up a caption is trusted")
    score_tilt: float = setting(4.0, "score: Beta(tilt, 1) for captions that say nothing, from 1")

    def __post_init__(self) -> None:
        one_of("prediction", self.prediction, PREDICTIONS)
        one_of("timesteps", self.timesteps, TIMESTEPS)
        if self.min_snr_gamma is not None and not self.min_snr_gamma > 0:
            raise ConfigError(f"min_snr_gamma = {self.min_snr_gamma!r}: expected above 0, or none")
        if not self.logit_std > 0:
            raise ConfigError(f"logit_std = {self.logit_std!r}: expected above 0")
        if not self.score_low < self.score_high:
            raise ConfigError(
                f"score_low = {self.score_low!r}: expected less than score_high = {self.score_high!r}"
            )
        if not self.score_tilt >= 1:
            raise ConfigError(f"score_tilt = {self.score_tilt!r}: expected at least 1")


@dataclass(frozen=True)
class SampleConfig:
    """How a latent is generated. Raises ConfigError."""

    solver: str = setting("ddim", "solver; flow has euler alone", SOLVERS)
    steps: int = setting(100, "steps, 1 to 1000")
    guidance: float = setting(2.5, "w of the paper's form, or s = 1 + w of the common one")
    form: str = setting("paper", "form of guidance", FORMS)
    rescale: float = setting(0.0, "share 0..1 of the conditional answer's deviation; 0 is off")
    interval_low: float = setting(0.0, "guidance is on from this share of the noise range")
    interval_high: float = setting(1.0, "guidance is on up to this share of the noise range")
    eta: float = setting(0.0, "ddim: noise added in a step, 0..1; released 1")

    def __post_init__(self) -> None:
        one_of("solver", self.solver, SOLVERS)
        one_of("form", self.form, FORMS)
        between("steps", self.steps, 1, STEPS)
        for name in ("rescale", "interval_low", "interval_high", "eta"):
            between(name, getattr(self, name), 0.0, 1.0)
