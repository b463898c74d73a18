"""How well pmos-mini ranks sounds of low sampling rates: damage done at 16, 22.05 or 32 kHz.

Clips of held-out albums and composers beyond those of the test, each brought to one of the rates as it
is and with five draws of damage; labels are ViSQOL's against the clip at its full rate.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ...audio.sound import Sound
from ...models.pmos.base import EmbeddedPmos
from .labels import CLIPS_A_PART, PARTS, RATE_HZ, SEED, at_rate, damaged, drawn
from .references import Clips
from .visqol_fast import FastVisqol

RATES_HZ = (16000, 22050, 32000)
CLIPS, DRAWS = 60, 5


def low_rate_table(cache: Path, model: EmbeddedPmos) -> pd.DataFrame:
    """A row a sound: track, rate_hz, mos (ViSQOL's label), score. Sounds without a label are left out."""
    clips, teacher = Clips(cache, SEED), FastVisqol(quick=True)
    first = PARTS["test"] * CLIPS_A_PART
    rows = []
    for number in range(first, first + CLIPS):
        clip, rng = clips.clip("test", number), np.random.default_rng([SEED, number, 2])
        low = at_rate(clip, RATES_HZ[number % len(RATES_HZ)])
        plans = [([], []), *(drawn(rng) for _ in range(DRAWS))]
        sounds = [damaged(low, plan, rng) for plan in plans]
        labels = teacher.measure(damaged(clip, ([], []), rng), sounds)
        scores = model.score([Sound(sound[None], RATE_HZ) for sound in sounds])
        rows += [
            {"track": clip.source.name, "rate_hz": low.rate_hz, "mos": mos, "score": float(score)}
            for (mos, _), score in zip(labels, scores, strict=True)
            if np.isfinite(mos)
        ]
    return pd.DataFrame(rows)
