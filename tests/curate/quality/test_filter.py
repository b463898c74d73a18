"""The filter: rules a row each, conditions of the user's own, lists, licences and sources."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qamdt.curate import stations
from qamdt.curate.config import Config, FilterConfig
from qamdt.curate.quality.filter import reads
from qamdt.curate.quality.rules import LIST_RULES, RULES
from qamdt.curate.report.reasons import meaning_of
from qamdt.curate.stations import Call
from qamdt.pipeline.dataset import Dataset
from qamdt.pipeline.views import query
from qamdt.schemas.errors import ConfigError
from qamdt.schemas.tables import Clip, File, Pmos

LICENCES = ("CC-BY-4.0", "cc-by-nc-4.0", None, "CC0")
SOURCES = ("fma", "jamendo", None, "fma/large")


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """Four clips, of two files: p-MOS 1, 2, 3 and none; licences and sources as above."""
    dataset = Dataset(tmp_path / "data")
    root = str(tmp_path / "music")
    files = [File(path=f"{root}/{n}.wav", root=root, scan=1, sha256=n) for n in "ab"]
    clips = [
        Clip(
            clip_id=f"c{i}", path=f"{root}/{'ab'[i // 2]}.wav", scan=1, file_sha256="0",
            window_index=i % 2, start_s=0.0, duration_s=3600.0, licence=LICENCES[i],
            source=SOURCES[i],
        )
        for i in range(4)
    ]  # fmt: skip
    rows = [Pmos(clip_id=f"c{i}", pmos=float(i + 1)) for i in range(3)]
    for cls, table in ((File, files), (Clip, clips), (Pmos, rows)):
        dataset.adopt(cls.TABLE, "f", {"parents": {}, "params": {}})  # type: ignore[attr-defined]
        dataset.commit(cls, "f", table)
    return dataset


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def decide(dataset: Dataset, lines: list[str]) -> Callable[..., dict[str, list[str]]]:
    """Run the station with some settings; gives clip -> reasons against it."""

    def run(**settings: Any) -> dict[str, list[str]]:
        config = Config().override("filter", {"need_caption": False, **settings})
        with dataset.lock():
            stations.filter_clips(dataset, config, Call(quiet=True, log=lines.append))
        rows = query(dataset.root, "SELECT * FROM decisions ORDER BY clip_id").to_pylist()
        assert all(row["kept"] == (not row["drop_reasons"]) for row in rows)
        return {row["clip_id"]: row["drop_reasons"] for row in rows}

    return run


Decide = Callable[..., dict[str, list[str]]]


def _with(decisions: dict[str, list[str]], reason: str) -> list[str]:
    return [clip for clip, reasons in decisions.items() if reason in reasons]


def test_a_clip_is_kept_where_the_condition_is_true_or_unknown(decide: Decide) -> None:
    decisions = decide(where=("pmos > 1.5", "loud: pmos::INT < 3", "duration_s = 3600"))
    assert decisions == {"c0": ["where_1"], "c1": [], "c2": ["loud"], "c3": []}


def test_a_condition_may_look_at_the_whole_set(decide: Decide) -> None:
    decisions = decide(
        where=(
            "median: pmos >= (SELECT median(pmos) FROM pmos) -- a comment",
            "one_a_file: row_number() OVER (PARTITION BY path ORDER BY clip_id) = 1",
        )
    )
    assert _with(decisions, "median") == ["c0"]
    assert _with(decisions, "one_a_file") == ["c1", "c3"]


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("pmos >", "is no SQL condition"),
        ("pmos", "is float, not true or false"),
        ("pmos > 3; DROP VIEW clips", "is no SQL condition"),
        ("pmos > 3; SELECT true", "expected one condition"),
        ("true FROM clips", "expected one condition"),
        ("pmos > 3) OR (true", "is no SQL condition"),
        ("true, false", "expected one condition"),
        ("no_such_column > 3", "no_such_column"),
        ("avg(pmos) > 3", "cannot be answered"),
        ("clip_id IN (SELECT x FROM '/etc/passwd')", "reads /etc/passwd"),
        ("clip_id IN (SELECT content FROM read_text('/etc/passwd'))", "reads table function"),
        ("EXISTS (SELECT * FROM duckdb_settings())", "reads table function"),
        ("$max_silence > 0", "cannot be answered"),
    ],
)
def test_what_is_no_condition_over_clips_is_refused(
    decide: Decide, dataset: Dataset, condition: str, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        decide(where=(condition,))
    assert dataset.current("decisions") is None


@pytest.mark.parametrize("where", [("a: true", "a: false"), ("silent: true",), ("excluded: true",)])
def test_a_reason_has_one_meaning(where: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="is taken"):
        FilterConfig(where=where)


@pytest.mark.parametrize("suffix", ["txt", "csv", "tsv", "jsonl", "parquet"])
@pytest.mark.parametrize("column", ["clip_id", "path"])
def test_lists_name_clips_or_files(
    decide: Decide, tmp_path: Path, lines: list[str], suffix: str, column: str
) -> None:
    """By id, by absolute path, and by a path relative to what was ingested."""
    names = ["c1", "none"] if column == "clip_id" else ["a.wav", str(tmp_path / "music" / "b.wav")]
    path = tmp_path / f"list.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.table({column: names, "other": [1, 2]}), path)
    elif suffix == "jsonl":
        path.write_text("".join(json.dumps({"other": 1, column: n}) + "\n" for n in names))
    elif suffix == "txt":
        path.write_text("\n" + "\n".join(names) + " \n")
    else:
        comma = "," if suffix == "csv" else "\t"
        path.write_text(
            "\n".join(comma.join(row) for row in [("other", column), *(("1", n) for n in names)])
        )
    dropped = _with(decide(exclude=(str(path),)), "excluded")
    assert dropped == (["c1"] if column == "clip_id" else ["c0", "c1", "c2", "c3"])
    assert any("1 lines of --exclude name no clip, as 'none'" in s for s in lines) == (
        column == "clip_id"
    )


def test_an_edited_list_is_another_state(decide: Decide, dataset: Dataset, tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("c1\n")
    decide(exclude=(str(path),))
    first = dataset.current("decisions")
    path.write_text("c2\n")
    assert _with(decide(exclude=(str(path),)), "excluded") == ["c2"]
    assert first != dataset.current("decisions")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.txt", None, "cannot be read: No such file"),
        ("x.csv", "a,b\n1,2\n", "has the columns a, b: expected clip_id or path"),
        ("x.jsonl", "{", "cannot be read"),
        ("x.parquet", "no parquet", "cannot be read"),
    ],
)
def test_a_list_that_cannot_be_used_is_named(
    decide: Decide, tmp_path: Path, name: str, content: str | None, words: str
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=words):
        decide(exclude=(str(tmp_path / name),))


def test_licences_and_sources_are_patterns(decide: Decide, lines: list[str]) -> None:
    assert _with(decide(licences=("cc-by-?.?", "cc0")), "licence") == ["c1", "c2"]
    assert any("licence of 1 clips is not known" in line for line in lines)
    assert _with(decide(sources=("FMA*",)), "source") == ["c1", "c2"]
    assert _with(decide(not_sources=("fma",)), "source") == ["c0"]
    both = decide(sources=("fma*",), not_sources=("*/large",))
    assert _with(both, "source") == ["c1", "c2", "c3"]


def test_the_log_counts_what_was_kept_and_each_reason(decide: Decide, lines: list[str]) -> None:
    decide(where=("pmos > 1.5",), licences=("cc-by*",))
    text = "\n".join(lines)
    assert "kept 1 of 4 clips, 1.00 of 4.00 h" in text
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.startswith("  ")}
    assert rows["licence"] == ["2", "clips", "2", "for", "this", "alone", "2.00", "h"]
    assert rows["where_1"][0] == "1"


def test_settings_that_are_off_leave_the_state_as_it_was(decide: Decide, dataset: Dataset) -> None:
    """The parameters are those of the time before the lists: a folder made then is read on."""
    decide()
    state = dataset.current("decisions")
    assert state is not None
    assert set(state.about["params"]) == {
        "max_silence", "min_rms_dbfs", "max_clipping", "min_bandwidth_hz", "min_pmos", "min_level",
        "min_similarity", "need_caption", "need_belief", "dedup_audio", "parts_read",
    }  # fmt: skip
    assert reads(dataset) == [
        "clips", "files", "pmos", "signal", "clap", "tags", "music", "levels", "captions",
    ]  # fmt: skip


def test_every_setting_has_a_rule_and_every_reason_a_meaning() -> None:
    """The rows are the one place: settings, help and the report's words follow from them."""
    named = {rule.setting for rule in (*RULES, *LIST_RULES) if rule.setting}
    assert named == {f.name for f in fields(FilterConfig)}
    config = asdict(FilterConfig(licences=("cc*",), where=("a: pmos > 3",)))
    for rule in RULES:
        assert meaning_of(rule.name, config)["meaning"] == rule.sentence
    assert meaning_of("a", config)["value"] == "pmos > 3"
    assert meaning_of("licence", config)["value"] == "cc*"
    assert meaning_of("odd", {"rules": {"odd": "x > 1"}})["value"] == "x > 1"
