"""A scored set whose sounds are what its texts say, and a chat server to merge captions with.

The embedding of each clip is that of a true sentence, its key included, read by the real text side of
clap-mini: so the truth is known to the last digit, and no minute is spent on hearing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
from builders import manifest, sine, write
from conftest import QUIET

from qamdt.curate import stations
from qamdt.curate.config import Config
from qamdt.models.clap.mini import ClapMiniMatch
from qamdt.models.tags.tagger import MusicnnTagger
from qamdt.pipeline.dataset import Dataset
from qamdt.pipeline.job import error_columns, output
from qamdt.pipeline.views import connect
from qamdt.schemas.tables import Clap, Music, Signal, Tags

TRUE = (
    "slow piano music", "fast heavy metal with distorted guitars", "a baroque harpsichord",
    "electronic techno with a beat", "a flute and a harp", "an a cappella choir",
    "a jazz trio with drums", "country music with banjo", "ambient synthesizer pads",
    "a string quartet", "funk with slap bass", "a church organ", "reggae with guitar",
    "a brass band", "indian sitar music", "an acoustic guitar",
)  # fmt: skip
HEARD = {"drums": 0.6, "metal": 0.5, "loud": 0.3, "guitar": 0.2}  # tag -> probability


def scored(root: Path, said: dict[int, str | None], errors: tuple[int, ...] = ()) -> Dataset:
    """A dataset of one clip a file, scored. said: number of a file -> its caption, where it is not
    the true one; None: it has none. errors: clips whose tags are an error."""
    music = root / "music"
    rows = []
    for k, true in enumerate(TRUE):
        write(music / f"{k:02}.wav", sine(2.0, 220 + 10 * k, 8000, 1), 8000)
        row: dict[str, Any] = {"path": f"{k:02}.wav", "lp": f"This is {true}.", "source": "test"}
        caption = said.get(k, true)
        rows.append(row if caption is None else {**row, "caption": caption})
    dataset = Dataset(root / "data")
    config = Config().override("ingest", {"window_s": 2.0})
    with dataset.lock():
        stations.ingest(dataset, manifest(music / "manifest.jsonl", rows), config, QUIET)
    _commit_scores(dataset, errors)
    return dataset


def with_key(text: str) -> str:
    """A caption and the key of all clips, in one sentence."""
    return f"{text[0].upper()}{text[1:]}, in C major."


def _commit_scores(dataset: Dataset, errors: tuple[int, ...]) -> None:
    match, tagger = ClapMiniMatch(), MusicnnTagger()
    with connect(dataset) as con:
        ids = [i for (i,) in con.execute("SELECT clip_id FROM clips ORDER BY path").fetchall()]
    vectors = match.embed_text([with_key(true) for true in TRUE]).astype(np.float16)
    failed = error_columns(ValueError("not heard"))
    made: list[tuple[type, tuple[str, str], list[Any]]] = [
        (Clap, (match.model_id, match.digest),
         [Clap(clip_id=i, embedding=list(v)) for i, v in zip(ids, vectors, strict=True)]),
        (Tags, (tagger.model_id, tagger.digest),
         [Tags(clip_id=i, **failed) if k in errors else
          Tags(clip_id=i, tag_names=list(HEARD), tag_probabilities=list(HEARD.values()))
          for k, i in enumerate(ids)]),
        (Music, ("", ""),
         [Music(clip_id=i, tempo_bpm=150.0, tempo_confidence=0.9, key="C major",
                key_confidence=0.9) for i in ids]),
        (Signal, ("", ""), [Signal(clip_id=i, loudness_lufs=-16.0) for i in ids]),
    ]  # fmt: skip
    for cls, model, rows in made:
        out = output(dataset, cls, 1, {}, ["clips"], *model)
        dataset.commit(cls, out.fingerprint, rows)
        dataset.adopt(out.table, out.fingerprint, out.about)


@contextmanager
def chat_server(answer: Callable[[str, int], str | None]) -> Iterator[tuple[str, list[str]]]:
    """(model reference, prompts asked so far) of a server that answers by a rule of prompt and seed;
    None is a request that it refuses."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            prompt = body["messages"][0]["content"]
            asked.append(prompt)
            text = answer(prompt, body["seed"])
            content: dict[str, Any] = {"error": "refused"}
            if text is not None:
                content = {"choices": [{"message": {"role": "assistant", "content": text}}]}
            raw = json.dumps(content).encode()
            self.send_response(200 if text is not None else 400)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"openai@http://127.0.0.1:{server.server_port}/v1#tiny", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
