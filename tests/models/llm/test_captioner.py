"""models/llm/audio_captioner.py: what is sent is the sound itself, and answers keep their places."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile as sf
from builders import music, sine
from loopback import JsonHandler, serving

from qamdt.audio.sound import Sound
from qamdt.models.llm.audio_captioner import RATE_HZ, OpenAiCaptioner, as_wav
from qamdt.models.llm.kinds import CAPTIONERS
from qamdt.models.ref import resolve
from qamdt.schemas.errors import ConfigError, ModelError


class Listener(JsonHandler):
    """A chat server that hears: it answers with the frequency in which the sound is loudest."""

    bodies: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.bodies.append(body)
        sound, question = body["messages"][0]["content"]
        raw = base64.b64decode(sound["input_audio"]["data"])
        wave, rate = sf.read(io.BytesIO(raw))
        if not np.any(wave):
            return self.answer(400, {"error": "nothing to hear"})
        spectrum = np.abs(np.fft.rfft(wave))
        hertz = round(float(np.fft.rfftfreq(len(wave), 1 / rate)[int(np.argmax(spectrum))]))
        message = {"content": f" {question['text']} {hertz} Hz\n"}
        return self.answer(200, {"choices": [{"message": message, "finish_reason": "stop"}]})


@pytest.fixture
def address() -> Iterator[str]:
    Listener.bodies.clear()
    with serving(Listener) as where:
        yield where


def test_every_sound_gets_its_own_answer(address: str) -> None:
    """Sounds of several rates and channels; one that fails leaves the others alone."""
    hertz = [220, 330, 440, 550, 660, 770, 880, 990, 1100, 1210]
    sounds = [
        Sound(sine(1.0, f, rate, 1 + k % 2), rate)
        for k, (f, rate) in enumerate(zip(hertz, [16_000, 44_100] * 5, strict=True))
    ]
    sounds.insert(3, Sound(np.zeros((1, 16_000), np.float32), 16_000))
    model = resolve(f"openai-audio@{address}#ears?at_once=4", CAPTIONERS)
    answers = model.caption(sounds, "Loudest at", 30)
    assert isinstance(answers.pop(3), ModelError)
    assert answers == [f"Loudest at {f} Hz" for f in hertz]
    assert model.caption([], "x", 3) == []
    assert {(b["model"], b["max_tokens"], b["temperature"]) for b in Listener.bodies} == {
        ("ears", 30, 0)
    }
    assert model.model_id == "openai-audio:ears"


def test_a_wav_holds_the_sound(tmp_path: Any) -> None:
    """16 kHz, mono, 16 bits; what exceeds full scale is cut, what is no number is silence."""
    sound = Sound(music(2.0, RATE_HZ), RATE_HZ)
    wave, rate = sf.read(io.BytesIO(as_wav(sound)))
    assert rate == RATE_HZ and wave.ndim == 1
    np.testing.assert_allclose(wave, sound.mono(), atol=1 / 32_000)
    odd = Sound(np.array([[2.0, -3.0, np.nan, 0.5]], np.float32), RATE_HZ)
    wave, _ = sf.read(io.BytesIO(as_wav(odd)))
    np.testing.assert_allclose(wave, [1, -1, 0, 0.5], atol=1e-4)


def test_bad_places_are_refused() -> None:
    for where in ("openai-audio", "openai-audio@http://h:1/v1", "vllm-audio"):
        with pytest.raises(ConfigError):
            resolve(where, CAPTIONERS)
    with pytest.raises(ConfigError, match="no option 'speed'"):
        OpenAiCaptioner("http://h:1/v1#m?speed=2")
