"""Compares two systems: python examples/evaluate_folders.py music/ generated/ theirs/

Both folders hold generated sounds, paired by file name; the reference is real music.
"""

from __future__ import annotations

import argparse

import qamdt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reference", help="folder of real music, or statistics (.npz)")
    parser.add_argument("ours")
    parser.add_argument("theirs")
    given = parser.parse_args()

    ours = qamdt.evaluate(given.ours, reference=given.reference)
    theirs = qamdt.evaluate(given.theirs, reference=given.reference)
    for name, result in (("ours", ours), ("theirs", theirs)):
        print(name)
        print(result)
    print(qamdt.compare(theirs, ours))


if __name__ == "__main__":
    main()
