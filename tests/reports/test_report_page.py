"""reports/page.py and reports/playable.py: pages that escape, lack nothing and fetch nothing."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import jinja2
import pytest
import soundfile
from builders import music

from qamdt.audio.sound import Sound
from qamdt.reports.page import STYLE, render_page, write_page
from qamdt.reports.playable import data_uri, mp3_uri


@pytest.fixture
def template(tmp_path: Path) -> Path:
    path = tmp_path / "page.html.j2"
    path.write_text(
        "<style>{{ style }}</style>{% if name %}\n<p>{{ name | twice }}</p>\n{% endif %}\n"
    )
    return path


def test_values_are_escaped_and_the_style_is_not(template: Path) -> None:
    html = render_page(template, {"name": "<b>&"}, {"twice": lambda text: 2 * text})
    assert html.endswith("<p>&lt;b&gt;&amp;&lt;b&gt;&amp;</p>\n") and f"<style>{STYLE}" in html
    assert "http" not in html and "url(" not in html and "@import" not in html


def test_a_name_that_nobody_gave_is_an_error(template: Path) -> None:
    with pytest.raises(jinja2.UndefinedError, match="name"):
        render_page(template, {}, {"twice": str})


def test_a_page_with_bytes_of_a_file_name_is_written(tmp_path: Path) -> None:
    path = write_page(tmp_path / "report.html", "caf\udce9 é")
    assert path.read_text(encoding="utf-8") == "caf? é"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.parametrize(
    ("rate_hz", "coded_hz"), [(16_000, 16_000), (44_100, 44_100), (7_000, 44_100)]
)
def test_a_sound_is_playable_at_any_rate(rate_hz: int, coded_hz: int) -> None:
    head, _, coded = mp3_uri(Sound(music(1.0, rate_hz, 2), rate_hz)).partition(",")
    assert head == "data:audio/mpeg;base64"
    wave, rate = soundfile.read(io.BytesIO(base64.b64decode(coded)))
    assert rate == coded_hz and wave.ndim == 1 and len(wave) == pytest.approx(coded_hz, rel=0.1)


def test_data_uri() -> None:
    assert data_uri("image/png", b"abc") == "data:image/png;base64,YWJj"
