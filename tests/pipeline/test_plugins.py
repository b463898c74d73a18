"""Plug-ins at work: a listener in one file, a filter rule, a captioner and a p-MOS model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from builders import sine, write
from conftest import QUIET, ingest_into

from qamdt.audio.decode import decode_window
from qamdt.curate import stations
from qamdt.curate.config import Config
from qamdt.curate.report.funnel import funnel
from qamdt.curate.report.page import build_report
from qamdt.curate.stations import Call
from qamdt.pipeline.dataset import Dataset
from qamdt.pipeline.views import plugin_tables, query
from qamdt.schemas import plugins
from qamdt.schemas.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "examples" / "zero_crossings.py"
ONLY = Config().override("score", {"only": ("signal",)})  # what else is scored takes seconds
# Both windows of a sine are the same samples.
NO_RULES = ONLY.override("filter", {"need_caption": False, "dedup_audio": False})


@pytest.fixture(autouse=True)
def no_plugins() -> Iterator[None]:
    """What a test registers goes with it."""
    entries = {role: dict(known) for role, known in plugins._entries.items()}
    files = dict(plugins._files)
    yield
    for role, known in plugins._entries.items():
        known.clear()
        known.update(entries[role])
    plugins._files.clear()
    plugins._files.update(files)


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sines of 100, 1000 and 4000 Hz, 4 s each: two zero crossings a period."""
    folder = tmp_path_factory.mktemp("tones")
    for hz in (100, 1000, 4000):
        write(folder / f"{hz}.wav", sine(4.0, hz))
    return folder


def _plugin(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def _run(dataset: Dataset, station: str, config: Config, call: Call = QUIET) -> None:
    with dataset.lock():
        getattr(stations, station)(dataset, config, call)


def _zcr(workers: int = 0) -> Config:
    return Config().override("score", {"only": ("zcr",)}).override("run", {"workers": workers})


def _rows(dataset: Dataset, sql: str) -> list[dict]:
    return query(dataset.root, sql).to_pylist()


def test_a_listener_in_one_file_here_and_on_ray(tmp_path: Path, tones: Path) -> None:
    """Its rows are what the function gives, and the same in this process and on Ray."""
    assert len(EXAMPLE.read_text().splitlines()) <= 30
    plugins.load([EXAMPLE])
    tables = {}
    for workers in (0, 2):
        dataset = ingest_into(tmp_path / f"on_{workers}", tones)
        _run(dataset, "score", _zcr(workers))
        tables[workers] = _rows(dataset, "SELECT * FROM zcr ORDER BY clip_id")
    assert tables[0] == tables[2] and len(tables[0]) == 6
    module = sys.modules[plugins.carried()[-1].module]
    for row in _rows(dataset, "SELECT path, start_s, duration_s, crossings FROM clips_full"):
        sound = decode_window(row["path"], row["start_s"], row["duration_s"])
        assert row["crossings"] == module.zero_crossings(sound)
        assert row["crossings"] == pytest.approx(2 * int(Path(row["path"]).stem), rel=0.02)


def test_its_table_is_everywhere_without_the_plug_in(tmp_path: Path, tones: Path) -> None:
    """What another process sees, that has never heard of the file."""
    dataset = ingest_into(tmp_path / "data", tones)
    plugins.load([EXAMPLE])
    _run(dataset, "score", ONLY.override("score", {"only": ("signal", "zcr")}))
    plugins._forget(str(EXAMPLE.resolve()))
    assert "zcr" not in plugins.kinds("listener", {})
    (cls,) = plugin_tables(dataset)
    assert cls.TABLE == "zcr" and cls.DECLARED.station == "score"

    kept = NO_RULES.override("filter", {"where": ("crossings < 3000",)})
    lines: list[str] = []
    _run(dataset, "filter_clips", kept, Call(quiet=True, log=lines.append))
    assert any("kept 4 of 6 clips" in line for line in lines)
    assert any(line.split()[:3] == ["where_1", "2", "clips"] for line in lines)
    sql = "SELECT bool_and(kept = (crossings < 3000)) AS alike, list(DISTINCT r) AS reasons FROM"
    (row,) = _rows(dataset, f"{sql} clips_full LEFT JOIN unnest(drop_reasons) t(r) ON true")
    assert row["alike"] and set(filter(None, row["reasons"])) == {"where_1"}
    state = dataset.current("decisions")
    assert state is not None and "zcr" in state.parents

    assert funnel(dataset).tables["zcr"] == (6, 6, 0)
    page, data = build_report(dataset.root)
    numbers = json.loads(data.read_text())
    (column,) = numbers["plugins"]
    assert column["name"] == "crossings" and column["n"] == sum(column["counts"]) == 6
    assert column["p50"] == pytest.approx(2000, rel=0.02)
    assert numbers["tables"]["zcr"]["rows"] == 6
    text = page.read_text()
    assert (
        "What plug-ins measured" in text
        and "zero crossings of the mean of all channels a second" in text
    )
    assert "kept are clips where <code>crossings &lt; 3000</code>" in text
    shown = subprocess.run(
        [sys.executable, "-m", "qamdt.curate.cli", "status", str(dataset.root)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "zcr" in shown.stdout


def test_an_edited_listener_is_another_state(tmp_path: Path, tones: Path) -> None:
    """Another text, another version and another table's name; a comment outside of it is none."""
    dataset = ingest_into(tmp_path / "data", tones)
    states = []
    text = (
        "import qamdt\n{note}\n@qamdt.listener('zcr', version={v}, crossings='{doc}')\n"
        "def f(sound):\n    return {value}\n"
    )
    for note, v, doc, value in (
        ("", 1, "doc", "1.0"),
        ("# a note", 1, "another doc", "1.0"),
        ("", 1, "doc", "2.0"),
        ("", 2, "doc", "2.0"),
    ):
        plugins.load([_plugin(tmp_path, text.format(note=note, v=v, doc=doc, value=value))])
        _run(dataset, "score", _zcr())
        states.append(dataset.current("zcr").fingerprint)  # type: ignore[union-attr]
        expected = {float(value)}
        assert {r["crossings"] for r in _rows(dataset, "SELECT crossings FROM zcr")} == expected
    assert states[0] == states[1] and len(set(states)) == 3


def test_what_a_listener_cannot_do_is_that_clips_error(tmp_path: Path, tones: Path) -> None:
    text = """
import qamdt

@qamdt.listener("odd", a="one", b="other")
class Odd:
    def extract(self, sounds):
        return [self.one(s) for s in sounds]

    def one(self, sound):
        name = sound.name.rsplit("/", 1)[-1]
        if name == "100.wav":
            return {"a": 1, "b": None}
        return {"a": float("nan"), "b": 1} if name == "1000.wav" else 3.0
"""
    dataset = ingest_into(tmp_path / "data", tones)
    plugins.load([_plugin(tmp_path, text)])
    _run(dataset, "score", Config().override("score", {"only": ("odd",)}))
    rows = _rows(
        dataset,
        "SELECT path, a, b, o.status, o.error_message FROM odd o JOIN clips USING (clip_id)",
    )
    by_name = {Path(row["path"]).name: row for row in rows}
    assert (by_name["100.wav"]["a"], by_name["100.wav"]["b"]) == (1.0, None)
    assert "expected a finite number" in by_name["1000.wav"]["error_message"]
    assert "expected a dict with the keys a, b" in by_name["4000.wav"]["error_message"]
    assert funnel(dataset).errors == 4


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("qamdt.listener('pmos', x='y')", "no table of qamdt has"),
        ("qamdt.listener('clips_full', x='y')", "no table of qamdt has"),
        ("qamdt.listener('zcr')", "name its columns"),
        ("qamdt.listener('zcr', tempo_bpm='y')", "no column of clips_full has"),
        ("qamdt.listener('zcr', status='y')", "no column of clips_full has"),
        ("qamdt.filter_rule('silent', 'true')", "no rule of qamdt has"),
    ],
)
def test_names_that_are_taken_are_refused(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        plugins.load([_plugin(tmp_path, f"import qamdt\n{line}\n")])


def test_a_filter_rule_drops_clips_for_its_name(tmp_path: Path, tones: Path) -> None:
    dataset = ingest_into(tmp_path / "data", tones)
    config = NO_RULES
    _run(dataset, "score", config)
    _run(dataset, "filter_clips", config)
    before = dataset.current("decisions")
    rule = "qamdt.filter_rule('low', \"path LIKE '%/100.wav'\", 'too low')"
    plugins.load([_plugin(tmp_path, f"import qamdt\n{rule}\n")])
    _run(dataset, "filter_clips", config)
    dropped = _rows(dataset, "SELECT path, drop_reasons FROM clips_full WHERE NOT kept")
    assert {Path(r["path"]).name for r in dropped} == {"100.wav"} and len(dropped) == 2
    assert all(r["drop_reasons"] == ["low"] for r in dropped)
    plugins._forget(str(tmp_path / "mine.py"))
    _run(dataset, "filter_clips", config)
    assert dataset.current("decisions") == before


PMOS = """
import numpy as np
import qamdt

@qamdt.pmos_model("loud")
class Loud:
    def __init__(self, where, device):
        self.model_id, self.digest = f"loud:{where}", "1"

    def load(self):
        pass

    def score(self, sounds):
        return np.array([1 + float(np.abs(s.samples).max()) for s in sounds], np.float32)

@qamdt.pmos_model("lame")
def lame(where, device):
    return object()
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pmos_model_of_a_plug_in_scores(tmp_path: Path, tones: Path, workers: int) -> None:
    dataset = ingest_into(tmp_path / "data", tones)
    plugins.load([_plugin(tmp_path, PMOS)])
    config = Config().override("score", {"only": ("pmos",)}).override("run", {"workers": workers})
    _run(dataset, "score", config.override("models", {"pmos": "loud@here"}))
    rows = _rows(dataset, "SELECT pmos, pmos_model FROM clips_full")
    assert {r["pmos_model"] for r in rows} == {"loud:here"}
    assert all(1 < r["pmos"] <= 2 for r in rows) and len(rows) == 6
    with pytest.raises(ConfigError, match="without model_id, digest, load, score"):
        _run(dataset, "score", config.override("models", {"pmos": "lame"}))
    with pytest.raises(ConfigError, match=r"kind must be one of embedded.*loud, lame"):
        _run(dataset, "score", config.override("models", {"pmos": "quiet"}))


CAPTIONER = """
import qamdt

class Namer:
    model_id, digest = "namer", "1"

    def caption(self, sounds, prompt, max_tokens):
        return [f"A sine, {s.samples.shape[1]} frames." for s in sounds]

@qamdt.captioner("namer")
def open_namer(where, device):
    return Namer()
"""


def test_a_captioner_of_a_plug_in_writes_captions(tmp_path: Path, tones: Path) -> None:
    """The captions are the plug-in's; the scores that the station needs are the embedded ones'."""
    dataset = ingest_into(tmp_path / "data", tones)
    plugins.load([_plugin(tmp_path, CAPTIONER)])
    config = Config().override("models", {"captioner": "namer"})
    _run(dataset, "score", config)
    _run(dataset, "caption", config)
    rows = _rows(
        dataset,
        "SELECT duration_s, generated, g.model_id FROM generated g JOIN clips USING (clip_id)",
    )
    assert len(rows) == 6 and {r["model_id"] for r in rows} == {"namer"}
    assert all(r["generated"].startswith("A sine, ") for r in rows)
    assert np.all([r["generated"].split()[2].isdigit() for r in rows])
