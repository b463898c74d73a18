"""What is wrong in the demo set, decided before a note sounds: one `Item` per row of its manifest.

Every piece is heard in two passages. At least one of them is clean; a fixed number of the others
is degraded at stated levels, by a draw from one seed, and independently of that some captions are
another piece's, empty or garbled. Copies, a silent file and broken files follow. The draw gives the
same counts for every seed, so figures measured on the set have the n they are expected to have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...schemas.errors import ConfigError
from .pieces import PIECES, Piece

# Kind of damage -> levels, in the units of audio/damage/degrade.py; each is audible, none is absurd.
DEFECTS: dict[str, tuple[float, ...]] = {
    "white": (28, 22, 17, 12),
    "hiss": (28, 20),
    "hum": (16, 8),
    "crackle": (6, 14, 30),
    "clip": (8, 12, 16, 20),
    "dropout": (1.0, 2.0),
    "lowpass": (5500, 4000, 3000, 2500),
    "mp3": (64, 48, 40, 32),
}
CAPTIONS_WRONG = 14
GARBLED = (
    "ÃƒÂ©lÃ©gie â€“ piÃ¨ce nÂ° 3 ???? ï¿½ï¿½ï¿½",
    "&lt;b&gt;Track_07&lt;/b&gt;%20final%20MIX_v2%20(1).wav",
    "asdf asdf asdf asdf asdf asdf asdf asdf",
    "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA=",
)
CAPTIONS_EMPTY = 4
FORMATS = (".wav",) * 5 + (".flac",) * 6 + (".ogg",) * 3 + (".mp3", ".opus")
DURATIONS_S = (15.5, 15.5, 18.0, 16.5, 20.48)

TEMPLATES = (
    "{A_tempo} {genre} piece for {sound}, {mood} in character and in {key}.",
    "{Sound} playing {mood} {genre} music at a {tempo} pace, in a {mode} key.",
    "{Mood} {genre} music performed on {sound}, {tempo}, in {key}.",
    "This recording features {sound} in a {mood} {genre} style with a {tempo} tempo.",
    "Instrumental {genre} music with {sound}; the mood is {mood} and the tempo is {tempo}.",
)
TOO_FEW = "are too few to plant every defect; take more, or another seed"


@dataclass(frozen=True)
class Item:
    """One row of the manifest, and the truth about its file.

    path: relative to the demo folder. piece: name in PIECES, None for silent and broken files.
    defect: "clean", a key of DEFECTS, "silence", or how the file is broken. level: its strength.
    caption_state: right, wrong, empty or garbled. caption: as the manifest has it.
    caption_of: the piece that the caption speaks of. copy_of: path of the file it repeats.
    copy_kind: bytes (the same file), retagged or container (the same samples).
    """

    path: str
    piece: str | None
    passage: int = 0
    duration_s: float = 0.0
    defect: str = "clean"
    level: float | None = None
    caption_state: str = "right"
    caption: str = ""
    true_caption: str = ""
    caption_of: str | None = None
    copy_of: str | None = None
    copy_kind: str | None = None
    broken: bool = False

    @property
    def is_degraded(self) -> bool:
        return self.defect in DEFECTS

    @property
    def suffix(self) -> str:
        return self.path[self.path.rindex(".") :]


def plan(seed: int = 0, pieces: tuple[Piece, ...] = PIECES) -> list[Item]:
    """Every row of the demo set, in order of path. The same seed gives the same rows."""
    rng = np.random.default_rng(seed)
    music = _music(pieces, rng)
    return sorted(
        [*music, *_copies(music, rng), _silent(pieces, rng), *_broken(pieces, rng)],
        key=lambda item: item.path,
    )


def describe(piece: Piece, passage: int, template: int) -> str:
    """A caption of one passage, in one of the TEMPLATES; all of it is true."""
    key = piece.keys[passage]
    return TEMPLATES[template].format(
        A_tempo=("An " if piece.tempo[0] in "aeiou" else "A ") + piece.tempo,
        tempo=piece.tempo,
        genre=piece.genre,
        sound=piece.sound,
        Sound=piece.sound[0].upper() + piece.sound[1:],
        mood=piece.mood,
        Mood=piece.mood.capitalize(),
        key=key,
        mode=key.split()[-1],
    )


def _music(pieces: tuple[Piece, ...], rng: np.random.Generator) -> list[Item]:
    """Both passages of every piece."""
    count = 2 * len(pieces)
    defects = _defects(len(pieces), rng)
    states = _states(count, defects, rng)
    numbers = rng.permutation(count) + 1
    suffixes = rng.permutation(np.resize(np.array(FORMATS), count))
    durations = rng.permutation(np.resize(np.array(DURATIONS_S), count))
    garbled = iter(GARBLED)
    items = []
    for i, state in enumerate(states):
        piece, passage = pieces[i // 2], i % 2
        template = int(rng.integers(len(TEMPLATES)))
        true = describe(piece, passage, template)
        of = piece
        if state == "wrong":
            of = _stranger(piece, pieces, rng)
        caption = (
            {
                "right": true,
                "wrong": describe(of, passage, template),
                "empty": "",
            }.get(state)
            if state != "garbled"
            else next(garbled)
        )
        defect, level = defects.get(i, ("clean", None))
        items.append(
            Item(
                path=f"audio/track_{numbers[i]:03d}{suffixes[i]}",
                piece=piece.name,
                passage=passage,
                duration_s=float(durations[i]),
                defect=defect,
                level=level,
                caption_state=state,
                caption=str(caption),
                true_caption=true,
                caption_of=of.name if state in ("right", "wrong") else None,
            )
        )
    return items


def _defects(pieces: int, rng: np.random.Generator) -> dict[int, tuple[str, float]]:
    """Number of a passage -> its damage; never both passages of one piece."""
    damages = [(kind, level) for kind, levels in DEFECTS.items() for level in levels]
    few = min(len(damages), round(len(damages) * pieces / len(PIECES)))
    damages = [damages[i * len(damages) // few] for i in range(few)]
    hurt = rng.permutation(pieces)[: len(damages)]
    sides = rng.integers(2, size=len(damages))
    return {
        2 * int(piece) + int(side): damage
        for piece, side, damage in zip(hurt, sides, damages, strict=True)
    }


def _states(
    count: int, defects: dict[int, tuple[str, float]], rng: np.random.Generator
) -> list[str]:
    """What the caption of each passage is, in the counts above (fewer in a small set).

    Bad captions are as frequent on degraded passages as on clean ones.
    """
    share = min(1.0, count / (2 * len(PIECES)))
    wrong, empty, garbled = (
        max(1, round(share * n)) for n in (CAPTIONS_WRONG, CAPTIONS_EMPTY, len(GARBLED))
    )
    bad = [["wrong", "empty", "garbled"][i] for i in np.repeat([0, 1, 2], [wrong, empty, garbled])]
    order = sorted(rng.permutation(count), key=lambda i: i in defects)  # clean first, then damaged
    places = ((np.arange(len(bad)) + rng.random()) * count / len(bad)).astype(int)
    kinds = rng.permutation(bad)
    picked = {int(order[place]): str(kind) for place, kind in zip(places, kinds, strict=True)}
    return [picked.get(i, "right") for i in range(count)]


def _stranger(piece: Piece, pieces: tuple[Piece, ...], rng: np.random.Generator) -> Piece:
    """A piece with no instrument in common and of another genre."""
    others = [
        p
        for p in pieces
        if p.genre != piece.genre and not set(p.instruments) & set(piece.instruments)
    ]
    if not others:
        raise ConfigError(f"{len(pieces)} pieces {TOO_FEW}")
    return others[int(rng.integers(len(others)))]


def _copies(music: list[Item], rng: np.random.Generator) -> list[Item]:
    """Four copies of clean, rightly captioned files under other names."""
    fit = [m for m in music if m.defect == "clean" and m.caption_state == "right"]
    fit = [fit[i] for i in rng.permutation(len(fit))]
    wavs, flacs = ([m for m in fit if m.suffix == s] for s in (".wav", ".flac"))
    others = [m for m in fit if m not in (*wavs[:1], *flacs[:1])]
    if not wavs or not flacs or len(others) < 2:
        raise ConfigError(f"{len(music)} passages {TOO_FEW}")
    wav, flac, first, second = wavs[0], flacs[0], *others[:2]
    stem = {m.path: m.path.rsplit(".", 1)[0] for m in fit}
    picked = (
        (first, "bytes", stem[first.path] + " (1)" + first.suffix),
        (second, "bytes", "audio/backup/Kopie von " + second.path.split("/")[-1]),
        (flac, "retagged", stem[flac.path] + "_remastered.flac"),
        (wav, "container", stem[wav.path] + "_lossless.flac"),
    )
    return [
        Item(**{**vars(m), "path": path, "copy_of": m.path, "copy_kind": kind})
        for m, kind, path in picked
    ]


def _silent(pieces: tuple[Piece, ...], rng: np.random.Generator) -> Item:
    piece = pieces[int(rng.integers(len(pieces)))]
    return Item(
        path="audio/track_silence.wav",
        piece=None,
        duration_s=20.48,
        defect="silence",
        caption_state="wrong",
        caption=describe(piece, 0, 0),
        caption_of=piece.name,
    )


def _broken(pieces: tuple[Piece, ...], rng: np.random.Generator) -> list[Item]:
    """Files that must be reported, with captions as good as any."""
    kinds = {
        "zero_bytes": "audio/download_01.mp3",
        "text": "audio/download_02.wav",
        "truncated": "audio/download_03.flac",
        "header_only": "audio/download_04.ogg",
        "random_bytes": "audio/download_05.mp3",
        "missing": "audio/download_06.flac",
    }
    picks = rng.permutation(len(pieces))
    return [
        Item(
            path=path,
            piece=None,
            duration_s=20.48 if kind == "truncated" else 0.0,
            defect=kind,
            caption=describe(pieces[int(picks[i % len(picks)])], 0, i % len(TEMPLATES)),
            broken=True,
        )
        for i, (kind, path) in enumerate(kinds.items())
    ]
