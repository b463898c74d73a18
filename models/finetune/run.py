"""A whole fine-tuning: labels, waves, splits, training, figures, card.

    finetune(Path("labels.csv"), Path("wav2vec2-base"), Path("mine"), FinetuneConfig())

leaves in the folder `mine` a scorer that `wav2vec2@mine` opens: config.json, model.safetensors and
preprocessor_config.json as transformers writes them, qamdt.json (what it was made of, how it hears,
its figures), README.md (its card), splits.csv (every sound with split, label and score) and
errors.csv (every row that could not be used). Until it is done, `mine/.training` holds the work;
the same call goes on from there.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ...schemas.errors import ConfigError
from ...schemas.hashing import hash_weights
from ..fetch.hf_folder import quiet
from ..pmos.wav2vec2 import (
    PREPROCESSOR,
    RATE_HZ,
    RECORD,
    Hearing,
    Wav2Vec2Pmos,
    kind_of,
    read_json,
    weights_of,
)
from .card import card
from .claim import FILES, WORK, claim, held, refuse_other_things
from .config import FinetuneConfig
from .figures import calibration_rows, counted, figures_of
from .labels import EXPECTED
from .network import open_network
from .state import load_best
from .taught import Bars, Log, Taught, no_bar, teach
from .train import Lesson, Trainer, best_of, score_all

RECIPE = 1  # raised whenever the same command would give another scorer


def finetune(
    labels: Path,
    init: Path,
    out: Path,
    config: FinetuneConfig,
    device: str = "cpu",
    fresh: bool = False,
    log: Log = print,
    bars: Bars = no_bar,
) -> dict[str, Any]:
    """Make the scorer in `out`, or go on making it; returns the content of its qamdt.json.

    fresh: begin again, whatever an earlier run of this command left in `out`. Raises ConfigError
    for labels or a folder that cannot be used, WeightsMissing or ModelError for INIT.
    """
    files = weights_of(init)
    kind_of(init)
    if not labels.is_file():
        raise ConfigError(f"{labels} is not a file of labels: {EXPECTED}")
    made_from = {
        "labels": hash_weights([labels]),
        "init": hash_weights([init / "config.json", *files]),
        "recipe": RECIPE,
        "settings": {k: v for k, v in config.plain().items() if k != "save_steps"},
    }
    if init.resolve() == out.resolve():
        raise ConfigError(
            f"--init and --out are both {out}: give the new scorer a folder of its own"
        )
    refuse_other_things(out)
    with held(out):
        if claim(out, made_from, fresh):
            log(f"{out} is made already from these labels and settings; --fresh makes it again")
            return read_json(out / RECORD)
        front_end = _hearing(init, config)
        try:
            taught = teach(labels, front_end, config.seed, out, log, bars)
        except ConfigError:
            shutil.rmtree(out / WORK)  # so that corrected labels may begin here
            raise
        network = open_network(init, config, taught.mean)
        lesson = Lesson(taught.waves, taught.mos, taught.of("train"), taught.of("dev"))
        trainer = Trainer(network, lesson, front_end, config, out / WORK, device)
        if trainer.place.step:
            log(f"goes on after step {trainer.place.step} of {trainer.steps}")
        with bars("train-pmos", trainer.steps) as bar:
            bar.advance(trainer.place.step)
            trainer.run(bar.advance, log)
        load_best(out / WORK, network)
        record = {
            "role": "p-MOS",
            "hearing": asdict(front_end),
            "made_from": made_from,
            "init": {"name": init.resolve().name, "model_type": kind_of(init)},
            "labels": {"file": labels.name, **counted(taught.sounds, taught.problems)},
            **taught.facts(),
            "training": {
                "steps": trainer.place.step,
                "epochs": len(trainer.place.history),
                "best_epoch": best_of(trainer.place, config) + 1,
                "history": trainer.place.history,
            },
            "settings": config.plain(),
        }
        return _publish(network, front_end, taught, record, out, device)


def _hearing(init: Path, config: FinetuneConfig) -> Hearing:
    """How the scorer will hear: INIT's rate and normalisation, the loudness and window asked for."""
    preprocessor = read_json(init / PREPROCESSOR)
    normalise = config.normalise
    if normalise is None:
        normalise = bool(preprocessor.get("do_normalize", False)) and config.loudness_lufs is None
    rate = int(preprocessor.get("sampling_rate", RATE_HZ))
    return Hearing(rate, normalise, config.loudness_lufs, config.window_s)


def _publish(
    network: Any, front_end: Hearing, taught: Taught, record: dict[str, Any], out: Path, device: str
) -> dict[str, Any]:
    """Write the folder of the scorer, measured as users will run it; the weights come last."""
    from transformers import Wav2Vec2FeatureExtractor

    final = out / WORK / "final"
    with quiet():
        network.to("cpu").save_pretrained(final)
    Wav2Vec2FeatureExtractor(
        sampling_rate=front_end.rate_hz, do_normalize=front_end.normalise
    ).save_pretrained(final)
    (final / RECORD).write_text(json.dumps(record))
    scorer = Wav2Vec2Pmos(str(final), device)
    every = np.arange(len(taught.waves))
    table = taught.table.assign(score=score_all(scorer.score_waves, taught.waves, every))
    split, rows = calibration_rows(table)
    record = {
        **record, "figures": figures_of(table), "calibration": {"split": split, "rows": rows},
    }  # fmt: skip
    (final / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    (final / "README.md").write_text(card(out.resolve().name, record), encoding="utf-8")
    (final / "splits.csv").write_text(table.to_csv(index=False), encoding="utf-8")
    for name in FILES:
        if (final / name).exists():
            (final / name).replace(out / name)
    shutil.rmtree(out / WORK)
    return record
