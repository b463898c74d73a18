"""Released weights: every tensor finds its place; with a checkout, the same output.

The second needs the released code: QAMDT_RELEASED=FOLDER names a checkout of it.
"""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from qamdt.schemas.errors import ModelError, WeightsMissing
from qamdt.train.network.config import PARITY, ModelConfig
from qamdt.train.network.masking import Mask
from qamdt.train.network.model import QAMDT
from qamdt.train.network.positions import sincos_table
from qamdt.train.released.reference_class import build_released
from qamdt.train.released.weights import config_of, import_released, translate

CHECKOUT = os.environ.get("QAMDT_RELEASED", "")
CONFIG = ModelConfig(
    width=48, depth=6, decoder_depth=2, heads=4, channels=8, frames=32, bands=4, patch_frames=4,
    patch_bands=2, text_width=20, **PARITY,
)  # fmt: skip


def released_state(seed: int = 0) -> dict[str, Tensor]:
    """Random tensors under the released names, of the shapes that CONFIG implies."""
    d, c, p, s = CONFIG.width, CONFIG.channels, CONFIG.patches, CONFIG.patch_size
    shapes: dict[str, tuple[int, ...]] = {
        "mos_embed.weight": (5, d), "x_embedder.proj.weight": (d, c, *CONFIG.patch),
        "x_embedder.proj.bias": (d,), "t_embedder.mlp.0.weight": (d, 256),
        "t_embedder.mlp.0.bias": (d,), "t_embedder.mlp.2.weight": (d, d), "t_embedder.mlp.2.bias": (d,),
        "t_block.1.weight": (6 * d, d), "t_block.1.bias": (6 * d,), "y_embedder.weight": (d, 20),
        "y_embedder.bias": (d,), "final_layer.linear.weight": (s, d), "final_layer.linear.bias": (s,),
        "final_layer.scale_shift_table": (2, d), "mask_token": (1, 1, d),
        "decoder_pos_embed": (1, p, d),
    }  # fmt: skip
    block: dict[str, tuple[int, ...]] = {"scale_shift_table": (6, d)}
    for name, out, into in (
        ("attn.qkv", 3 * d, d), ("attn.proj", d, d), ("cross_attn.q_linear", d, d),
        ("cross_attn.kv_linear", 2 * d, d), ("cross_attn.proj", d, d), ("mlp.fc1", 4 * d, d),
        ("mlp.fc2", d, 4 * d),
    ):  # fmt: skip
        block |= {f"{name}.weight": (out, into), f"{name}.bias": (out,)}
    skip = {"skip_linear.weight": (d, 2 * d), "skip_linear.bias": (d,)}
    for kind, count, extra in (
        ("en_inblocks", 2, {}), ("en_outblocks", 2, skip), ("de_blocks", 2, skip),
        ("sideblocks", 1, {}),
    ):  # fmt: skip
        for i in range(count):
            shapes |= {f"{kind}.{i}.{name}": shape for name, shape in (block | extra).items()}
    g = torch.Generator().manual_seed(seed)
    state = {name: 0.1 * torch.randn(shape, generator=g) for name, shape in shapes.items()}
    return state | {"pos_embed": sincos_table(CONFIG)[None]}


def test_every_tensor_finds_its_place(tmp_path: Path) -> None:
    """The configuration is read off the shapes, and the state fills the network exactly."""
    save_file(released_state(), tmp_path / "a.safetensors")
    config, state = import_released(tmp_path / "a.safetensors", heads=4)
    assert config == CONFIG
    net = QAMDT(config)
    net.load_state_dict(state, strict=True)
    assert torch.equal(net.quality.null, net.quality.levels[2])


def test_wrappers_and_means(tmp_path: Path) -> None:
    """A trainer's pickle: prefixed names under state_dict, other parts beside, the mean on request."""
    plain, mean = released_state(), released_state(1)
    state = {f"model.diffusion_model.{k}": v for k, v in plain.items()}
    state |= {"first_stage.weight": torch.zeros(2), "model_ema.decay": torch.tensor(0.99)}
    state |= {f"model_ema.diffusion_model{k.replace('.', '')}": v for k, v in mean.items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "a.ckpt")
    for ema, want in ((False, plain), (True, mean)):
        _, got = import_released(tmp_path / "a.ckpt", heads=4, ema=ema)
        assert torch.equal(got["quality.levels"], want["mos_embed.weight"])
        assert torch.equal(got["side.table"], want["sideblocks.0.scale_shift_table"])


def test_what_is_no_checkpoint_of_the_class(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="no such file"):
        import_released(tmp_path / "none.pt")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "b.pt")
    with pytest.raises(ModelError, match=r"expected one tensor mos_embed\.weight, found 0"):
        import_released(tmp_path / "b.pt")
    torch.save(Path("x"), tmp_path / "c.pt")
    with pytest.raises(ModelError, match="cannot be read as tensors alone"):
        import_released(tmp_path / "c.pt")
    state = released_state()
    with pytest.raises(ModelError, match="no such tensor"):
        translate(state | {"rope.freqs": torch.zeros(2)}, CONFIG)
    with pytest.raises(ModelError, match="fit no grid"):
        config_of(state | {"pos_embed": state["pos_embed"] + 1}, 4)


@pytest.mark.skipif(not CHECKOUT, reason="QAMDT_RELEASED names no checkout of the released code")
@pytest.mark.parametrize("attention", ["spelled", "sdpa"])
def test_output_equals_the_released_classes(attention: str) -> None:
    """Its weights in ours: the same output to 1e-5, whole, and the same under its own mask."""
    theirs = build_released(Path(CHECKOUT), CONFIG, attention)
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in theirs.parameters():
            if p.dim() > 1 and not p.any():  # what is zero at the start
                p.normal_(std=0.1, generator=g)
    state = theirs.state_dict()
    config = config_of(state, CONFIG.heads)
    assert config == CONFIG
    ours = QAMDT(config)
    ours.load_state_dict(translate(state, config))
    x, t = torch.randn(2, *config.shape, generator=g), torch.tensor([7.0, 901.0])
    text = torch.randn(2, 6, config.text_width, generator=g)
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[1, 4:] = False
    quality = torch.tensor([2.0, 5.0])
    with torch.no_grad():
        want = theirs.eval()(x, t, [text], [mask.float()], mos=quality)
        torch.testing.assert_close(ours(x, t, text, mask, quality), want, atol=1e-5, rtol=1e-5)
        drawn: list[Tensor] = []
        masking = theirs.random_masking

        def noted(*given: Tensor) -> tuple[Tensor, ...]:
            out = masking(*given)
            drawn.extend(out[1:])
            return out

        theirs.random_masking = noted
        want = theirs.train()(x, t, [text], [mask.float()], mos=quality)
        hidden, restore, keep = drawn
        ours_mask = Mask(keep, restore.argsort(1), restore, hidden > 0)
        got = ours(x, t, text, mask, quality, ours_mask)
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)
