"""vLLM for real, on SmolLM2: `make vllm-env` builds where this runs, `make test-vllm` runs it.

64 merges of refine's job through vLLM in this process, on a Ray actor and through `vllm serve`, each
killed in its middle: all rows there, once, all JSON of their schema.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from builders import music, sine
from oracles import keep
from vllm_job import SCHEMA, job_of, merge, merged, questions

from qamdt.audio.sound import Sound
from qamdt.models.fetch import registry
from qamdt.models.llm.kinds import CAPTIONERS, LLMS
from qamdt.models.llm.smollm import SmolLm
from qamdt.models.ref import resolve
from qamdt.schemas.errors import ModelError

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.timeout(3000),
    pytest.mark.skipif(
        importlib.util.find_spec("vllm") is None, reason="`make test-vllm` has an environment"
    ),
]
OPTIONS = "max_model_len=512&max_num_seqs=32"
WORD = {
    "type": "object",
    "properties": {"word": {"type": "string", "maxLength": 20}},
    "required": ["word"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module", autouse=True)
def _on_this_machine() -> Iterator[None]:
    """One core, no hub."""
    set_here = {
        "OMP_NUM_THREADS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_LOGGING_LEVEL": "ERROR",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in set_here.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def folder() -> Path:
    return registry.path("smollm2-135m-instruct")


def check(rows: list[dict[str, Any]]) -> None:
    """All 64 rows, each once, each good."""
    assert len(rows) == len({row["prompt"] for row in rows}) == 64
    assert [row["error_message"] for row in rows if row["status"] != "ok"] == []
    for row in rows:
        (text,) = row["answers"]
        jsonschema.validate(json.loads(text), SCHEMA)
        assert len(row["captions"]) == 1
    assert len({row["answers"][0] for row in rows}) > 16


def program(into: Path, model: str, *more: str) -> subprocess.CompletedProcess[str]:
    """The job in a process of its own."""
    command = [sys.executable, "-m", "vllm_job", str(into), model, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=1500, check=False)


# --- in this process ---------------------------------------------------------------------------


def test_killed_in_the_middle_and_resumed(folder: Path, tmp_path: Path) -> None:
    """The engine dies with its process by SIGKILL; the same command goes on where it ended."""
    model = f"vllm@{folder}?{OPTIONS}"
    died = program(tmp_path, model, "--die-at=2")
    assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
    before = merged(tmp_path, model)
    assert len(before) == 32
    went_on = program(tmp_path, model)
    assert went_on.returncode == 0, went_on.stderr[-2000:]
    rows = merged(tmp_path, model)
    check(rows)
    assert all(row in rows for row in before)


def test_an_actor_that_dies_with_its_engine_is_replaced(folder: Path, tmp_path: Path) -> None:
    """On Ray: the worker is killed while it generates; another one makes its rows."""
    done = program(tmp_path, f"vllm@{folder}?{OPTIONS}", "1", "--die-at=1")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "data" / "died").exists()
    check(merged(tmp_path, f"vllm@{folder}?{OPTIONS}"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return resolve(f"vllm@{folder}?{OPTIONS}", LLMS)


def test_an_engine_that_fails_is_started_again(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real engine, made to fail once: another is started, and every prompt is answered."""
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "1")  # an engine in a child would hang
    first = model._engine.start()
    assert not multiprocessing.active_children()

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA error: out of luck")

    monkeypatch.setattr(first, "chat", fail)
    answers = model.complete(questions(4), 96, SCHEMA)
    assert [isinstance(a, list) for a in answers] == [True] * 4, answers
    assert model._engine.start() is not first


def test_texts_schemas_and_refusals(model: Any, folder: Path) -> None:
    """n candidates, the first greedy; the same again; a prompt too long is its own error."""
    asked = [*questions(3), "word " * 600, "Name the capital of France."]
    answers = model.complete(asked, 24, n=3)
    assert isinstance(answers[3], ModelError) and "512" in str(answers[3])
    good = [a for a in answers if isinstance(a, list)]
    assert [len(a) for a in good] == [3] * 4 and "Paris" in good[-1][0]
    assert all(len(set(a)) > 1 for a in good)
    fine = asked[:3]
    assert model.complete(fine, 24, n=3) == model.complete(fine, 24, n=3)
    assert model.complete([], 24) == []
    (word,) = model.complete(["Say a word, as JSON."], 30, WORD)
    assert isinstance(word, list) and set(json.loads(word[0])) == {"word"}
    assert model.model_id == f"vllm:{folder.name}"


def test_what_vllm_cannot_run_stops_the_work(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot run"):
        resolve(f"vllm@{tmp_path}", LLMS).complete(["x"], 4)


def tiny_audio_model(folder: Path, words: Path) -> None:
    """A Qwen2-Audio of random weights, in the layout of the published one, with a real tokenizer."""
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import (
        AutoTokenizer,
        Qwen2AudioConfig,
        Qwen2AudioForConditionalGeneration,
        Qwen2AudioProcessor,
        WhisperFeatureExtractor,
    )

    tokenizer = AutoTokenizer.from_pretrained(words)
    own = ["<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": own})
    torch.manual_seed(0)
    config = Qwen2AudioConfig(
        audio_config={
            "model_type": "qwen2_audio_encoder", "num_mel_bins": 80, "encoder_layers": 1,
            "d_model": 32, "encoder_attention_heads": 2, "encoder_ffn_dim": 64,
        },
        text_config={
            "model_type": "qwen2", "vocab_size": len(tokenizer), "hidden_size": 64,
            "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 1,
            "num_key_value_heads": 1, "initializer_range": 0.5,
            "eos_token_id": tokenizer.eos_token_id,
        },
        audio_token_index=tokenizer.convert_tokens_to_ids(own[0]),
    )  # fmt: skip
    Qwen2AudioForConditionalGeneration(config).save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")  # some versions write `model.` twice
    weights = {k.replace("model.model.model.", "model.model."): v for k, v in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    Qwen2AudioProcessor(
        feature_extractor=WhisperFeatureExtractor(feature_size=80),
        tokenizer=tokenizer,
        chat_template=tokenizer.chat_template,
    ).save_pretrained(folder)


def test_an_audio_model_hears(model: Any, folder: Path, tmp_path: Path) -> None:
    """Under vLLM the sound reaches the network: like sounds get like texts, others do not. The engine
    of the LLM makes way for it, and is there again when it is asked."""
    before = model.complete(questions(1), 8)
    tiny_audio_model(tmp_path, folder)
    ears = resolve(f"vllm-audio@{tmp_path}?max_model_len=1024&max_num_seqs=4", CAPTIONERS)
    piece, tone = Sound(music(4.0), 44_100), Sound(sine(4.0, 440, 16_000, 1), 16_000)
    texts = ears.caption([piece, tone, piece], "What do you hear?", 12)
    assert all(isinstance(text, str) and text for text in texts), texts
    assert texts[0] == texts[2] != texts[1]
    assert ears.model_id == f"vllm-audio:{tmp_path.name}"
    assert model.complete(questions(1), 8) == before


def test_it_is_faster_than_transformers(model: Any, folder: Path) -> None:
    """Tokens a second on the same weights and prompts, in turns, one thread.

    Seconds of processor time, so that what else runs on the machine does not count. transformers
    works as the embedded LLM does (float32, batches of 16); in bfloat16 with all prompts in one
    batch, which is faster where the processor has bfloat16 arithmetic, it is measured too.
    """
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    asked = questions(32)
    torch.set_num_threads(1)
    embedded, half = SmolLm(folder=folder), SmolLm(folder=folder)
    half._model.to(torch.bfloat16)
    half.batch = len(asked)
    for llm in (embedded, half, model):
        llm.complete(asked[:1], 2)

    def per_second(llm: Any) -> float:
        began = time.process_time()
        answers = llm.complete(asked, 48)
        seconds = time.process_time() - began
        said = [a[0] for a in answers if isinstance(a, list)]
        assert len(said) == len(asked)
        return sum(map(len, tokenizer(said)["input_ids"])) / seconds

    speeds = [(per_second(model), per_second(embedded)) for _ in range(2)]
    ratios = [ours / theirs for ours, theirs in speeds]
    unit = "x tokens/s of transformers generate in float32, batches of 16; processor time, 1 thread"
    keep("vllm_speedup", sum(ratios) / 2, 2, unit, min(ratios), max(ratios))
    in_half = per_second(half)
    unit = "x tokens/s of transformers generate in bfloat16, one batch of 32; the same otherwise"
    keep("vllm_speedup_bf16", speeds[-1][0] / in_half, 1, unit)
    print("tokens/s: vLLM", speeds[-1][0], "float32", speeds[-1][1], "bfloat16", in_half)
    assert sum(ratios) / 2 >= 3


# --- a server ----------------------------------------------------------------------------------


@contextlib.contextmanager
def served(folder: Path, log: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """`vllm serve` on loopback, ready; ended afterwards with all its children."""
    command = [str(Path(sys.executable).with_name("vllm")), "serve", str(folder),
               "--host", "127.0.0.1", "--port", str(port), "--served-model-name", "smol",
               "--dtype", "bfloat16", "--enforce-eager", "--max-model-len", "512",
               "--max-num-seqs", "16", "--structured-outputs-config",
               '{"backend": "guidance", "disable_any_whitespace": true}']  # fmt: skip
    with open(log, "ab") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    try:
        end = time.monotonic() + 1200
        while not _healthy(port):
            assert server.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < end, log.read_text()[-3000:]
            time.sleep(1)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2):
            return True
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def test_through_a_server_that_is_killed_too(folder: Path, tmp_path: Path) -> None:
    """The client is killed in its middle, and then, when it goes on, the server: what was with it
    becomes error rows, no hang; with the server back, they are made."""
    port = free_port()
    model = f"openai@http://127.0.0.1:{port}/v1#smol?timeout_s=300&attempts=2"
    log = tmp_path / "log"
    with served(folder, log, port) as server:
        died = program(tmp_path, model, "--die-at=2")
        assert died.returncode == -signal.SIGKILL, died.stderr[-2000:]
        before = merged(tmp_path, model)
        assert len(before) == 32 and {row["status"] for row in before} == {"ok"}
        threading.Thread(target=_kill_at_work, args=(server, port), daemon=True).start()
        began = time.monotonic()
        rows = merge(tmp_path, model)
        assert time.monotonic() - began < 600
    assert len({row["request"] for row in rows}) == len(rows) == 64
    bad = [row for row in rows if row["status"] == "error"]
    assert 0 < len(bad) <= 32 and {row["error_type"] for row in bad} == {"ModelError"}
    with served(folder, log, port):
        job = job_of(tmp_path, model)
        (out,) = job.outputs
        assert job.dataset.forget_errors(out.table, out.fingerprint) == len(bad)
        rows = merge(tmp_path, model)
    check(rows)
    assert all(row in rows for row in before)


def _kill_at_work(server: subprocess.Popen[bytes], port: int) -> None:
    """Kill the server and its engine while requests are with it."""
    running = 0.0
    while not running:
        time.sleep(0.2)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith("vllm:num_requests_running"):
                    running = float(line.split()[-1])
    time.sleep(1)
    os.killpg(server.pid, signal.SIGKILL)
