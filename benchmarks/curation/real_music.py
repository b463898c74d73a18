"""Real music to try the line on: three Debian packages of free game music, 34 tracks.

    python -m qamdt.benchmarks.curation.real_music --into out/real/music

Links every track of 20 s or more into one folder per package. The licences (CC-BY-SA, GPL and the
like) are those of the packages; nothing of them is part of qamdt.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import soundfile as sf
import typer

from ...models.fetch.registry import DEFAULT_CACHE
from ...recipes.common.debian import fetch_package

PACKAGES = ("fretsonfire-songs-muldjord", "fretsonfire-songs-sectoid", "nexuiz-music")
SHORTEST_S = 20.0


def link_tracks(into: Path, cache: Path) -> tuple[int, float]:
    """Link the tracks into `into/<package>/`; returns how many there are, and their seconds."""
    tracks, seconds = 0, 0.0
    for package in PACKAGES:
        folder = fetch_package(package, cache)
        for track in sorted(folder.rglob("*.ogg")):
            length = sf.info(track).duration
            if length < SHORTEST_S:
                continue
            name = "-".join(track.relative_to(folder).parts[-2:])
            link = into / package / name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(track)
            tracks, seconds = tracks + 1, seconds + length
    return tracks, seconds


def main(
    into: Annotated[Path, typer.Option(help="folder for the links")],
    cache: Annotated[Path, typer.Option(help="where packages are unpacked")] = Path(DEFAULT_CACHE),
) -> None:
    """Fetch and link."""
    tracks, seconds = link_tracks(into, cache.expanduser())
    print(f"real music: {tracks} tracks, {seconds / 60:.0f} minutes in {into}")


if __name__ == "__main__":
    typer.run(main)
