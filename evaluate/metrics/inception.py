"""KL and IS: metrics on what a classifier makes of each clip, from its logits, in float64.

KL (paired): sum_c p_c log(p_c / q_c) of two clips that belong together, p and q being softmaxes of
logits. Log-probabilities are computed from logits, so no epsilon is needed and KL >= 0 holds.

IS (Salimans et al. 2016, arXiv 1606.03498, section 4): exp(mean_i KL(p_i || mean p)), from 1 to the
number of classes. It grows with the number of clips; `size_bias` says by how much, to first order.

Shapes: n clips, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...reports.statistics import Z95
from ...schemas.errors import MetricError

DIRECTIONS = ("ref-gen", "gen-ref")
ALE_EPS = 1e-6  # audioldm_eval adds it to the generated probabilities alone: KL may be below 0


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log-probabilities, float64 [n, C]."""
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def kl_per_clip(
    generated: np.ndarray, reference: np.ndarray, direction: str = "ref-gen", eps: float = 0.0
) -> np.ndarray:
    """KL of each pair of rows of logits [n, C]: float64 [n].

    direction: `ref-gen` is KL(reference || generated), `gen-ref` the other way. eps: added to the
    generated probabilities before the logarithm, as audioldm_eval does; 0 is the definition.
    """
    if generated.shape != reference.shape:
        raise MetricError(f"logits {generated.shape} and {reference.shape} are no pairs")
    ours, theirs = log_softmax(generated), log_softmax(reference)
    if eps:
        ours = np.log(np.exp(ours) + eps)
    p, q = (theirs, ours) if direction == "ref-gen" else (ours, theirs)
    kl = (np.exp(p) * (p - q)).sum(1)
    return kl if eps else kl.clip(0)


@dataclass(frozen=True)
class Inception:
    """The inception score.

    value: the mean over splits. deviation: over splits (population), 0 for one split.
    se, low, high: of one split over all clips, by the influence KL(p_i || mean p) on log IS; None
    with more splits, whose deviation is no error bar. size_bias: what more clips would add.
    """

    value: float
    deviation: float
    se: float | None
    low: float | None
    high: float | None
    size_bias: float
    splits: int


def inception_score(
    logits: np.ndarray, splits: int = 1, shuffle: bool = False, seed: int = 2020
) -> Inception:
    """IS of logits [n, C], the clips cut into `splits` runs at i * n // splits.

    shuffle: by RandomState(seed).permutation first, as torch-fidelity and audioldm_eval do. Raises
    MetricError for fewer clips than splits.
    """
    if not 1 <= splits <= len(logits):
        raise MetricError(f"IS of {len(logits)} clips in {splits} splits")
    log_p = log_softmax(logits)
    if shuffle:
        log_p = log_p[np.random.RandomState(seed).permutation(len(log_p))]
    n = len(log_p)
    parts = [log_p[i * n // splits : (i + 1) * n // splits] for i in range(splits)]
    each = [float(np.exp(_kl_to_mean(part).mean())) for part in parts]
    value = float(np.mean(each))
    bias = value * np.expm1(_entropy_bias(log_p))
    if splits > 1 or n < 2:
        return Inception(value, float(np.std(each)), None, None, None, bias, splits)
    kl = _kl_to_mean(log_p)
    se = float(kl.std(ddof=1) / np.sqrt(n))
    low, high = value * np.exp(-Z95 * se), value * np.exp(Z95 * se)
    return Inception(value, 0.0, value * se, float(low), float(high), bias, splits)


def _kl_to_mean(log_p: np.ndarray) -> np.ndarray:
    """KL(p_i || mean p) of each row: float64 [n]."""
    p = np.exp(log_p)
    mean = p.mean(0)
    log_mean = np.log(mean, out=np.zeros_like(mean), where=mean > 0)
    return (p * (log_p - log_mean)).sum(1)


def _entropy_bias(log_p: np.ndarray) -> float:
    """How much the entropy of the mean falls short at n clips: sum_c Var(p_c) / (2 n mean_c)."""
    p = np.exp(log_p)
    mean, variance = p.mean(0), p.var(0)
    share = np.divide(variance, mean, out=np.zeros_like(mean), where=mean > 0)
    return float(share.sum()) / (2 * len(p))
