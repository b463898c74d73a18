"""Trains a tiny network and generates: python examples/train_tiny.py out/mine runs/tiny

A few minutes on a CPU; enough to see the line work, not to make music. Levels are five equal
shares, so that each has clips.
"""

from __future__ import annotations

import argparse

import qamdt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", help="a curated folder")
    parser.add_argument("run", help="folder of the training; made, or gone on with")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--sampling-steps", type=int, default=50)
    given = parser.parse_args()

    ds = qamdt.Dataset(given.dataset)
    ds.quantize(scheme="quantile", prefixes="quantile")
    ds.filter()
    run = qamdt.fit(
        ds, given.run, size="nano", text_width=384, loader_workers=0, steps=given.steps,
        lr=2e-3, warmup=100, schedule="cosine", ema=0.995, prediction="v", demo_every=0,
    )  # fmt: skip
    for level in (1, 5):
        sounds = qamdt.generate(run, ["solo piano"], quality=level, steps=given.sampling_steps)
        sounds[0].save(f"piano-level-{level}.wav")


if __name__ == "__main__":
    main()
