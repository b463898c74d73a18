"""How well an audio-text space ranks captions: AUCs and exchanged facts, with intervals.

An exam is sounds, captions in several wordings, and who belongs to whom. Every wording is judged
on its own and the figures are averaged. Intervals come from resampling tracks (compositions for
rendered pieces), captions staying as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...reports.statistics import Estimate, bootstrap

TRIES = 400


def auc(right: np.ndarray, wrong: np.ndarray, right_w: np.ndarray, wrong_w: np.ndarray) -> float:
    """Weighted probability that a right score is above a wrong one; ties count half."""
    scores = np.concatenate([right, wrong])
    weights = np.concatenate([right_w, np.zeros(len(wrong))])
    others = np.concatenate([np.zeros(len(right)), wrong_w])
    values, place = np.unique(scores, return_inverse=True)
    mine = np.bincount(place, weights, len(values))
    below = np.bincount(place, others, len(values))
    passed = np.cumsum(below) - below
    total = right_w.sum() * wrong_w.sum()
    return float((mine * (passed + 0.5 * below)).sum() / total) if total else float("nan")


@dataclass(frozen=True)
class Pairs:
    """similarity [wordings, sounds, captions]; right, wrong bool [sounds, captions]: which pairs
    count as what; group int [sounds]: the track of each sound (what is resampled).

    part: int [sounds]: AUCs are taken within a part and averaged by its number of sounds.
    """

    similarity: np.ndarray
    right: np.ndarray
    wrong: np.ndarray
    group: np.ndarray
    part: np.ndarray

    def value(self, weight: np.ndarray) -> float:
        aucs = []  # (weight, AUC) of each part
        for part in np.unique(self.part):
            mine = self.part == part
            weights = np.broadcast_to(weight[mine][:, None], self.right[mine].shape)
            right, wrong = self.right[mine], self.wrong[mine]
            if not wrong.any() or not weight[mine].any():
                continue
            of_wordings = [
                auc(s[mine][right], s[mine][wrong], weights[right], weights[wrong])
                for s in self.similarity
            ]
            aucs.append((weight[mine].sum(), float(np.mean(of_wordings))))
        if not aucs:
            return float("nan")
        shares, values = np.array(aucs).T
        return float((shares * values).sum() / shares.sum())

    def estimate(self) -> Estimate:
        return with_interval(self.value, self.group)


def with_interval(
    value: Callable[[np.ndarray], float], group: np.ndarray, tries: int = TRIES
) -> Estimate:
    """`value(weights of the sounds)` with its interval over groups."""
    names, place = np.unique(group, return_inverse=True)

    def measured(drawn: np.ndarray) -> float:
        return value(np.bincount(drawn, minlength=len(names))[place].astype(float))

    low, high = bootstrap(measured, len(names), tries)
    return Estimate(value(np.ones(len(group))), float(low), float(high), len(names))


def real_pairs(similarity: np.ndarray, track: np.ndarray, album: np.ndarray,
               caption_album: np.ndarray, same: bool) -> Pairs:  # fmt: skip
    """Windows against track captions: of other albums, or (`same`) of the album's other tracks.

    track: of each window, its caption's place. album: of each window. caption_album: of each caption.
    """
    own = track[:, None] == np.arange(similarity.shape[2])
    alike = album[:, None] == caption_album
    part = album if same else np.zeros_like(album)
    return Pairs(similarity, own, alike & ~own if same else ~alike, track, part)


def swap_share(won: dict[str, tuple[np.ndarray, np.ndarray]]) -> Estimate:
    """Mean over some facts of the share of exchanged ones that are recognised.

    won: fact -> (1 where the true caption scored higher, else 0; what is resampled).
    """
    sizes = [len(hits) for hits, _ in won.values()]
    fact = np.repeat(np.arange(len(won)), sizes)
    all_hits = np.concatenate([hits for hits, _ in won.values()])

    def value(weight: np.ndarray) -> float:
        shares = [np.average(all_hits[fact == k], weights=weight[fact == k] + 1e-12)
                  for k in range(len(won))]  # fmt: skip
        return float(np.mean(shares))

    return with_interval(value, np.concatenate([group for _, group in won.values()]))
