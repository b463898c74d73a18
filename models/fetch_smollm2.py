"""SmolLM2: from a GGUF file to a folder in Hugging Face's layout, weights in bfloat16.

The published weights are 4-bit (Q4_1); they are unpacked here once, so that plain transformers or
vLLM can run them. Tokenizer and chat template come out of the GGUF file too.
"""

from __future__ import annotations

from pathlib import Path

from ..schemas.errors import ModelError

LEAST_VOCABULARY = 1000  # an offline load that finds nothing yields a near-empty tokenizer


def convert(folder: Path, gguf_file: str, into: Path) -> None:
    """Read `folder/gguf_file` and write config, weights, tokenizer and chat template to `into`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    from transformers.utils import logging

    logging.disable_progress_bar()  # the caller says what is being done
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf_file)
    if len(tokenizer) < LEAST_VOCABULARY or not tokenizer.chat_template:
        raise ModelError(f"{gguf_file}: no usable tokenizer came out of the file")
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        gguf_file=gguf_file,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(dequantize=True),
    )
    model.save_pretrained(into)
    tokenizer.save_pretrained(into)
    logging.enable_progress_bar()
