"""The report: numbers that add up, a page that needs nothing else, at any stage of the work."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest
from builders import broken_folder, file_set, music, write

from qamdt.curate import stations
from qamdt.curate.config import Config
from qamdt.curate.report.counts import BINS
from qamdt.curate.report.numbers import numbers
from qamdt.curate.report.page import build_report, render
from qamdt.pipeline.dataset import Dataset
from qamdt.pipeline.views import connect, query
from qamdt.reports.charts import histogram
from qamdt.schemas.errors import StoreError
from qamdt.schemas.tables import Caption, Pmos, Signal

ODD = '<b>it\'s "odd"</b> & {{ 7 * 7 }}'
CALL = stations.Call(quiet=True, log=lambda line: None)
VOID = {"meta", "br"}


def made(dataset: Dataset, cls: type, rows: list) -> None:
    """Commit rows as the current state of their table."""
    dataset.adopt(cls.TABLE, "f" * 16, {"parents": {}, "params": {}})
    dataset.commit(cls, "f" * 16, rows)


@pytest.fixture(scope="module")
def music_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("music")
    file_set(folder / "good", 5, 6.0, suffixes=(".wav", ".flac", ".ogg"))
    write(folder / f"{ODD.replace('/', ' ')}.wav", music(6.0, seed=30))
    broken_folder(folder / "broken")
    return folder


@pytest.fixture(scope="module")
def three_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("three")
    file_set(folder, 3, 6.0, suffixes=(".wav",))
    return folder


def ingested(root: Path, source: Path) -> Dataset:
    dataset = Dataset(root)
    stations.ingest(dataset, source, Config(), CALL)
    return dataset


def full(root: Path, source: Path) -> Dataset:
    """A dataset with scores we chose: every second caption odd, one error, one clipped clip."""
    dataset = ingested(root, source)
    with connect(dataset) as con:
        ids = con.execute("SELECT clip_id FROM clips WHERE skip IS NULL ORDER BY path").fetchall()
    pmos = [
        Pmos(clip_id=c, pmos=3.0 + 0.1 * i, model_id="pmos-mini", weights="ab" * 32)
        for i, (c,) in enumerate(ids)
    ]
    dead = {"status": "error", "error_type": "WorkerDied", "error_message": f"died on {ODD}"}
    pmos[-1] = Pmos(clip_id=pmos[-1].clip_id, **dead)
    made(dataset, Pmos, pmos)
    made(
        dataset,
        Signal,
        [Signal(clip_id=c, silence_ratio=0.0, clipping_ratio=0.5 * (i == 0), rms_dbfs=-20.0)
         for i, (c,) in enumerate(ids)],
    )  # fmt: skip
    made(
        dataset,
        Caption,
        [Caption(clip_id=c, refined_caption=f"final {ODD}" if i % 2 else "plain",
                 caption_from="generated" if i % 2 else "original", caption_reason="why",
                 sim_original=0.1, sim_final=0.5 if i % 2 else 0.1, match_model="tagtext-mini-1")
         for i, (c,) in enumerate(ids)],
    )  # fmt: skip
    stations.quantize(dataset, Config(), CALL)
    stations.filter_clips(dataset, Config(), CALL)
    return dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, music_folder: Path) -> Dataset:
    made = full(tmp_path_factory.mktemp("report") / f"set & {ODD.split('/')[0]}", music_folder)
    build_report(made.root)
    return made


@pytest.fixture(scope="module")
def page(dataset: Dataset) -> str:
    return (dataset.root / "report.html").read_text(encoding="utf-8")


class Tags(HTMLParser):
    """Collects tags, and those left open or closed without being open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1
        self.sources += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href")]
        self.wrong += [f"{tag} {k}" for k, _ in attrs if k.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    return tags


def test_the_page_needs_nothing_else(page):
    """No script, no link, every source a data URI, every tag closed."""
    tags = parsed(page)
    assert tags.wrong == []
    assert tags.open == []
    assert not tags.seen.keys() & {"script", "link", "img", "iframe", "object", "b&gt"}
    assert tags.sources
    assert all(source.startswith("data:audio/mpeg;base64,") for source in tags.sources)
    assert "url(" not in page and "@import" not in page


def test_names_and_captions_are_escaped(page):
    """Markup in names, captions and messages is text, and templates in them are not run."""
    assert "<b>it" not in page
    assert "&lt;b&gt;it&#39;s &#34;odd&#34;" in page
    assert "{{ 7 * 7 }}" in page and "49" not in re.findall(r"& (\d+)", page)


def test_the_json_holds_the_same_numbers(dataset):
    found = json.loads((dataset.root / "report.json").read_text(encoding="utf-8"))
    assert found == json.loads(json.dumps(numbers(dataset)))
    assert [m["model"] for m in found["models"]] == ["pmos-mini", "tagtext-mini-1"]


def test_the_numbers_add_up(dataset):
    found = numbers(dataset)
    (clips,) = query(dataset.root, "SELECT count(*) AS n FROM clips")["n"].to_pylist()
    alone = sum(r["clips_only"] for r in found["drop_reasons"])
    assert found["funnel"]["clips"] == clips
    assert found["funnel"]["kept"] + alone == clips  # no clip here has two reasons
    assert all(r["clips_only"] <= r["clips"] for r in found["drop_reasons"])
    assert {r["reason"]: r["clips"] for r in found["drop_reasons"]}["clipped"] == 1
    assert sum(found["pmos"]["counts"]) == found["pmos"]["n"]
    assert len(found["pmos"]["counts"]) == BINS
    assert [level["level"] for level in found["levels"]] == [1, 2, 3, 4, 5]
    assert sum(level["clips"] for level in found["levels"]) == found["pmos"]["n"]
    similarity = found["similarity"]
    assert sum(similarity["before"]) == sum(similarity["after"]) == similarity["n"]
    assert similarity["fell"] == 0 < similarity["rose"]


def test_both_counts_of_a_clip_with_two_reasons(tmp_path, three_files):
    """Silent and clipped: counted under both, alone under neither."""
    dataset = full(tmp_path / "two", three_files)
    with connect(dataset) as con:
        rows = con.execute("SELECT clip_id FROM signal ORDER BY clip_id").fetchall()
    both = {"silence_ratio": 1.0, "clipping_ratio": 0.5, "rms_dbfs": -20.0}
    made(dataset, Signal, [Signal(clip_id=c, **both) for (c,) in rows[:1]])
    dataset.adopt("signal", "e" * 16, {"parents": {}, "params": {}})
    dataset.commit(Signal, "e" * 16, [Signal(clip_id=c, **both) for (c,) in rows[:1]])
    stations.filter_clips(dataset, Config(), CALL)
    reasons = {r["reason"]: r for r in numbers(dataset)["drop_reasons"]}
    for reason in ("silent", "clipped"):
        assert (reasons[reason]["clips"], reasons[reason]["clips_only"]) == (1, 0)


def test_the_ends_are_apart_and_in_order(dataset):
    ends = numbers(dataset)["clips"]
    best, worst = ([clip["pmos"] for clip in ends[end]] for end in ("best", "worst"))
    assert best == sorted(best, reverse=True) and worst == sorted(worst)
    assert min(best) >= max(worst)
    paths = [clip["path"] for end in ends.values() for clip in end]
    assert len(set(paths)) == len(paths) > 4


def test_errors_are_counted_by_class(dataset, page):
    errors = {e["class"]: e for e in numbers(dataset)["errors"]}
    assert errors["EmptyFile"]["items"] == 1
    assert errors["EmptyFile"]["tables"] == ["files"]
    assert errors["WorkerDied"]["tables"] == ["pmos"]
    assert "zero.wav" in page and "died on &lt;b&gt;" in page


def test_an_empty_level_is_named(dataset, page):
    empty = [level["level"] for level in numbers(dataset)["levels"] if not level["clips"]]
    assert empty
    assert f"No clip at level {', '.join(map(str, empty))}." in page


def test_only_ingested(tmp_path, three_files):
    """What was not made is said with the command that makes it."""
    dataset = ingested(tmp_path / "set", three_files)
    html, _ = build_report(dataset.root)
    page = html.read_text()
    assert parsed(page).wrong == []
    for station in ("score", "quantize", "refine", "filter"):
        assert f"not made yet: run <code>qamdt-curate {station}</code>" in page
    assert "No model has scored anything yet" in page


def test_stale_tables_are_named(tmp_path, three_files):
    dataset = full(tmp_path / "set", three_files)
    dataset.adopt("pmos", "0" * 16, {"parents": {}, "params": {}})  # another model took over
    found = numbers(dataset)
    assert found["tables"]["levels"]["missing"].startswith("out of date, pmos has changed")
    assert found["pmos"] is None and found["levels"] == []
    assert "out of date" in build_report(dataset.root)[0].read_text()


def test_no_dataset_is_said_clearly(tmp_path):
    with pytest.raises(StoreError, match="holds no tables"):
        build_report(tmp_path)


def test_equal_scores(tmp_path, three_files):
    """sigma 0 gives infinite bounds; they leave no trace in the JSON, and the page is made."""
    dataset = ingested(tmp_path / "set", three_files)
    with connect(dataset) as con:
        ids = con.execute("SELECT clip_id FROM clips WHERE skip IS NULL").fetchall()
    made(dataset, Pmos, [Pmos(clip_id=c, pmos=4.0, model_id="pmos-mini") for (c,) in ids])
    stations.quantize(dataset, Config(), CALL)
    _, data = build_report(dataset.root)
    assert json.loads(data.read_text())["pmos"]["groups"][0]["edges"] == [None] * 4


def test_a_clip_that_cannot_be_played_says_why(tmp_path):
    """A file that is gone, or is another now, has a sentence instead of a player."""
    paths = file_set(tmp_path / "music", 2, 6.0, suffixes=(".wav",))
    dataset = full(tmp_path / "set", tmp_path / "music")
    found = numbers(dataset)
    ends = [clip for end in found["clips"].values() for clip in end]
    assert ends
    paths[0].unlink()
    write(paths[1], music(12.0, seed=9))
    page = render(found)
    assert "No such file or directory" in page or "FileChanged" in page
    assert "<audio" not in page


def test_a_damaged_log_line_is_passed_over(tmp_path, three_files):
    dataset = ingested(tmp_path / "set", three_files)
    with open(dataset.root / "runs.jsonl", "a") as log:
        log.write('{"station": "sco')
    assert [t["station"] for t in numbers(dataset)["throughput"]] == ["ingest"]


@pytest.mark.parametrize("low, high", [(-0.1, 0.1), (1.0, 5.0), (3.7, 3.8)])
def test_a_histogram_draws_every_count(low, high):
    """One bar per full bin, in the plot, its count in the tooltip; lines outside are left out."""
    counts = [0, 3, 1, 0, 1200, 7]
    svg = histogram(low, high, [("clips", counts)], [(low, "a<b"), (high + 1, "far")])
    bars = re.findall(r'<rect class="clips" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"', svg)
    assert len(bars) == 4
    assert all(0 < float(v) < 720 and math.isfinite(float(v)) for bar in bars for v in bar)
    assert ": 1200</title>" in svg
    assert "a&lt;b" in svg and "far" not in svg
