"""SmolLM2: from a GGUF file to a folder in Hugging Face's layout, weights in bfloat16.

The published weights are 4-bit (Q4_1); they are unpacked here once, so that plain transformers or
vLLM can run them. Tokenizer and chat template come out of the GGUF file too.
"""

from __future__ import annotations

from pathlib import Path

from ...schemas.errors import ModelError
from .hf_folder import check_tokenizer, quiet


def convert(folder: Path, gguf_file: str, into: Path) -> None:
    """Read `folder/gguf_file` and write config, weights, tokenizer and chat template to `into`."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf_file)
    check_tokenizer(tokenizer, folder)
    if not tokenizer.chat_template:
        raise ModelError(f"{gguf_file}: no chat template came out of the file")
    with quiet():
        model = AutoModelForCausalLM.from_pretrained(
            folder,
            gguf_file=gguf_file,
            dtype=torch.bfloat16,
            quantization_config=GgufConfig(dequantize=True),
        )
        model.save_pretrained(into)
    tokenizer.save_pretrained(into)
