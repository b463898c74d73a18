"""The demo set: about 20 minutes of rendered music with planted defects, and the truth beside it.

    audio/*          wav, flac, ogg, mp3 and opus
    manifest.jsonl   what `qamdt-curate ingest` reads: path, caption, tags, source, licence
    truth.jsonl      what is really there, a row a manifest row: piece, defect, level, right caption
    demo.json        seed, version and counts; its presence says that the set is complete

The music is rendered at set-up from public-domain scores of music21's corpus with the General MIDI
soundfont TimGM6mb; none of it is part of this package.
"""

from __future__ import annotations

import io
import itertools
import json
import multiprocessing
import shutil
import tempfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from ...audio.damage.degrade import degrade
from ...audio.encode import encode
from ...schemas.errors import ConfigError
from .defects import Item, plan
from .pieces import DEFAULT_LICENCE, PIECES, Piece
from .scores import RATE_HZ, Score, passage_starts, read_score, render

VERSION = 3
PIECE = {piece.name: piece for piece in PIECES}
OPUS_HZ = 48_000
MADE_WITH = ("music21", "pretty_midi", "tinysoundfont", "soundfile")


def make_demo(
    into: Path,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    pieces: tuple[Piece, ...] = PIECES,
) -> Path:
    """Render the demo set into the folder `into`; the path of its manifest.

    progress: called with (files done, files in all). pieces: fewer make a smaller set.
    A set that is complete with this seed is left as it is. The folder appears at once, when all is
    written; a run that was stopped leaves nothing under that name.
    Raises ConfigError when `into` holds anything else, or the extra `demo` is not installed.
    """
    into = Path(into).absolute()
    wanted = {"version": VERSION, "seed": seed, "pieces": [p.name for p in pieces]}
    if _is_complete(into, wanted):
        return into / "manifest.jsonl"
    into.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{into.name}-", dir=into.parent))
    try:
        items = plan(seed, pieces)
        _write_audio(building, items, seed, progress)
        _write_tables(building, items)
        counts = dict(sorted(Counter(item.defect for item in items).items()))
        seconds = round(sum(item.duration_s for item in items if not item.broken), 2)
        facts = {**wanted, "files": len(items), "seconds": seconds, "defects": counts}
        facts["made_with"] = {name: metadata.version(name) for name in MADE_WITH}
        (building / "demo.json").write_text(json.dumps(facts, indent=1) + "\n")
        building.chmod(0o755)  # mkdtemp made it private
        try:
            building.replace(into)
        except OSError:
            if not _is_complete(into, wanted):  # else another run was faster
                raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return into / "manifest.jsonl"


def _is_complete(into: Path, wanted: dict[str, Any]) -> bool:
    """Whether `into` is this very set; False when it is absent or empty.

    Raises ConfigError when something else is there: nothing is ever overwritten.
    """
    if not into.exists() or (into.is_dir() and not any(into.iterdir())):
        return False
    try:
        about = json.loads((into / "demo.json").read_text())
    except (OSError, ValueError):
        about = {}
    if {k: about.get(k) for k in wanted} == wanted:
        return True
    what = f"a demo set with seed {about['seed']}" if "seed" in about else "no demo set"
    raise ConfigError(
        f"{into} holds {what}, expected one of version {VERSION} with seed {wanted['seed']}; "
        "delete it or name another folder"
    )


# ------------------------------------------------------------------------------------- the sound


def _write_audio(
    root: Path, items: list[Item], seed: int, progress: Callable[[int, int], None] | None
) -> None:
    """Every file of the set: music first, each score read once, then what is made from it.

    A score is read once, with all that is played from it, in one of two processes: reading is
    Python, which threads would not share.
    """
    for item in items:
        (root / item.path).parent.mkdir(parents=True, exist_ok=True)
    done = itertools.count(1)

    def report() -> None:
        if progress:
            progress(next(done), len(items))

    music = sorted((i for i in items if i.piece and not i.copy_of), key=_work)
    by_score = [list(same) for _, same in itertools.groupby(music, key=_work)]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(2, len(by_score)) or 1, mp_context=spawn) as pool:
        jobs = [pool.submit(_play_all, root, same, seed) for same in by_score]
        for job in as_completed(jobs):
            for _ in range(job.result()):
                report()
    for item in (i for i in items if i not in music):
        if item.copy_of:
            _copy(root / item.copy_of, root / item.path, str(item.copy_kind))
        elif item.broken:
            _break(root / item.path, item)
        else:
            silence = np.zeros((2, round(item.duration_s * RATE_HZ)), np.float32)
            save(root / item.path, silence)
        report()


def _work(item: Item) -> str:
    return PIECE[item.piece].work if item.piece else ""


def _play_all(root: Path, items: list[Item], seed: int) -> int:
    """Write the passages that are played from one score; returns how many."""
    score = read_score(_work(items[0]))
    for item in items:
        _play(root, item, score, seed)
    return len(items)


def _play(root: Path, item: Item, score: Score, seed: int) -> None:
    """Write one passage as the plan wants it."""
    piece = PIECE[str(item.piece)]
    start_ql = passage_starts(score, piece)[item.passage]
    own = zlib.crc32(f"{seed}/{item.piece}/{item.passage}".encode())
    sound = render(piece, score, start_ql, item.duration_s, own)
    if item.is_degraded:
        sound = degrade(sound, RATE_HZ, item.defect, float(item.level or 0), own)
        peak = float(np.abs(sound).max())
        sound *= min(1.0, 0.95 / max(peak, 1e-9))  # the damage is what was planned, no more
    save(root / item.path, sound)


def save(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> None:
    """Write float32 [channels, frames] by suffix, lossy formats at a rate that nobody hears.

    The bytes follow from the samples: Ogg's random stream number is taken out.
    """
    formats: dict[str, dict[str, Any]] = {
        ".wav": {"format": "WAV", "subtype": "PCM_16"},
        ".flac": {"format": "FLAC", "subtype": "PCM_16"},
        ".ogg": {"format": "OGG", "subtype": "VORBIS", "compression_level": 0.2},
        ".mp3": {"format": "MP3", "compression_level": 0.25, "bitrate_mode": "CONSTANT"},
        ".opus": {"format": "OGG", "subtype": "OPUS", "compression_level": 0.5},
    }
    settings = formats[path.suffix]
    if path.suffix == ".opus" and rate_hz != OPUS_HZ:
        samples, rate_hz = soxr.resample(samples.T, rate_hz, OPUS_HZ).T, OPUS_HZ
    data = encode(samples, rate_hz, **settings)
    path.write_bytes(_numbered(data) if settings["format"] == "OGG" else data)


def _numbered(ogg: bytes) -> bytes:
    """The same Ogg stream under a fixed stream number, which libsndfile draws from the clock."""
    import av

    out = io.BytesIO()
    with (
        av.open(io.BytesIO(ogg), "r") as source,
        av.open(out, "w", format="ogg", options={"fflags": "+bitexact"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    return out.getvalue()


def _copy(source: Path, path: Path, kind: str) -> None:
    """The same file again (bytes), or the same samples in a FLAC of its own with other tags."""
    if kind == "bytes":
        shutil.copyfile(source, path)
        return
    samples, rate_hz = soundfile.read(source, dtype="int16", always_2d=True)
    with soundfile.SoundFile(
        path, "w", rate_hz, samples.shape[1], format="FLAC", subtype="PCM_16"
    ) as file:
        file.title, file.album = "Untitled (Remastered)", "Collected"
        file.write(samples)


def _break(path: Path, item: Item) -> None:
    """Write what a failed download leaves; a missing file is left missing."""
    if item.defect == "missing":
        return
    rng = np.random.default_rng(zlib.crc32(item.path.encode()))
    tone = 0.2 * np.sin(2 * np.pi * 220 * np.arange(round(20.48 * RATE_HZ)) / RATE_HZ)
    hushed = (tone + 0.01 * rng.standard_normal(tone.size)).astype(np.float32)
    if item.defect in ("truncated", "header_only"):
        save(path, np.stack([hushed, hushed]))
    content = path.read_bytes() if path.exists() else b""
    path.write_bytes(
        {
            "zero_bytes": b"",
            "text": b"<html><head><title>404 Not Found</title></head></html>\n" * 8,
            "random_bytes": rng.bytes(40_000),
            "truncated": content[: len(content) * 2 // 5],
            "header_only": content[:60],
        }[item.defect]
    )


# ------------------------------------------------------------------------------------ the tables


def _write_tables(root: Path, items: list[Item]) -> None:
    _json_lines(root / "manifest.jsonl", map(_manifest_row, items))
    _json_lines(root / "truth.jsonl", map(_truth_row, items))


def _json_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")


def _tags(piece: Piece) -> list[str]:
    return [piece.genre, piece.mood, piece.tempo, *piece.instruments]


def _manifest_row(item: Item) -> dict[str, Any]:
    caption = PIECE[item.caption_of] if item.caption_of else None
    return {
        "path": item.path,
        "caption": item.caption,
        "tags": _tags(caption) if caption else [],
        "source": "demo",
        "licence": PIECE[item.piece].licence if item.piece else DEFAULT_LICENCE,
    }


def _truth_row(item: Item) -> dict[str, Any]:
    piece = PIECE[item.piece] if item.piece else None
    columns: dict[str, Any] = {}
    if piece:
        columns = {
            "work": piece.work,
            "composer": piece.composer,
            "instruments": piece.instruments,
            "tempo": piece.tempo,
            "bpm": piece.bpm,
            "key": piece.keys[item.passage],
            "mood": piece.mood,
            "genre": piece.genre,
        }
    return {**asdict(item), "is_degraded": item.is_degraded, **columns}
