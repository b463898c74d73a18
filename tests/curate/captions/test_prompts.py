"""Prompt files: known by their hash, with the schema beside them; answers are read or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qamdt.curate.captions import prompts
from qamdt.schemas.errors import ConfigError, InvalidAnswer

MERGE = ("original", "facts")


def test_every_shipped_prompt_loads_and_its_schema_is_one() -> None:
    import jsonschema

    names = {p.stem for p in prompts.FOLDER.glob("*.txt")}
    assert {"merge-v2", "listen-v1"} <= names
    shipped = [prompts.load(name) for name in sorted(names)]
    assert len({p.sha256 for p in shipped}) == len(shipped)
    merge = prompts.load("merge-v2", MERGE)
    assert merge.schema is not None
    jsonschema.Draft202012Validator.check_schema(dict(merge.schema))


def test_a_changed_word_or_schema_is_another_prompt(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    hashes = []
    for text, schema in (("{original} {facts}", ""), ("{original}, {facts}", ""),
                         ("{original} {facts}", '{"properties": {"caption": {}}}')):  # fmt: skip
        file.write_text(text)
        if schema:
            file.with_suffix(".json").write_text(schema)
        hashes.append(prompts.load(str(file), MERGE).sha256)
    assert len(set(hashes)) == 3


@pytest.mark.parametrize(
    ("text", "schema", "says"),
    [("{original}", "", r"must hold \{facts\}"), ("{original} {facts}", "{", "is not JSON"),
     ("{original} {facts}", '{"type": "string"}', "with a `caption`")],
)  # fmt: skip
def test_bad_prompts_are_refused(tmp_path: Path, text: str, schema: str, says: str) -> None:
    (tmp_path / "p.txt").write_text(text)
    if schema:
        (tmp_path / "p.json").write_text(schema)
    with pytest.raises(ConfigError, match=says):
        prompts.load(str(tmp_path / "p.txt"), MERGE)
    with pytest.raises(ConfigError, match="merge-v2"):
        prompts.load("merge-v0")


def test_answers_are_read_or_refused() -> None:
    merge = prompts.load("merge-v2")
    told = json.dumps({"facts": ["slow"], "caption": ' "A slow piece. It is long." '})
    assert merge.read_answer(told) == ("A slow piece.", ["slow"])
    for wrong in ("A slow piece.", "[]", '{"facts": []}', '{"caption": 3}',
                  '{"caption": "a", "facts": [1]}'):  # fmt: skip
        with pytest.raises(InvalidAnswer):
            merge.read_answer(wrong)
    plain = prompts.load("listen-v1")
    assert plain.read_answer(" A\n tone. Two.") == ("A tone.", [])
