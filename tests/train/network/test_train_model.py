"""Laws of the network: what masked tokens, text, quality and batch-mates may and may not change."""

import pytest
import torch
from torch import Tensor
from train_builders import inputs, network

from qamdt.schemas.errors import ConfigError
from qamdt.train.loop.run_folder import config_of
from qamdt.train.network import model
from qamdt.train.network.config import PARITY, SIZES, ModelConfig, from_plain, sized
from qamdt.train.network.masking import Mask, draw_mask
from qamdt.train.network.model import QAMDT, ROUND

FORMS = {
    "paper": {}, "released": PARITY, "gelu": {"ffn": "gelu"},
    "overlap": {"overlap_frames": 3, "overlap_bands": 1},
}  # fmt: skip


def mask_for(net: QAMDT, gamma: float, batch: int = 2, seed: int = 0) -> Mask:
    return draw_mask(batch, net.config.patches, gamma, torch.Generator().manual_seed(seed))


def encoded(net: QAMDT, latents: Tensor, mask: Mask | None) -> Tensor:
    """What the encoder says, caught at its last block."""
    said: list[Tensor] = []
    hook = net.encoder_out[-1].register_forward_hook(lambda m, i, out: said.append(out))
    x = inputs(net.config)._replace(latents=latents)
    net(*x, mask)
    hook.remove()
    return said[0]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gamma", [None, 0.0, 0.4, 0.95])
def test_every_form_gives_a_latent_and_a_gradient_everywhere(
    form: str, gamma: float | None
) -> None:
    net = network(**FORMS[form])
    x = inputs(net.config, batch=3)._replace(quality=torch.tensor([4.5, 0.0, 2.0]))
    mask = None if gamma is None else mask_for(net, gamma, 3)
    out = net(*x, mask)
    assert out.shape == x.latents.shape
    out.square().mean().backward()
    silent = {n for n, p in net.named_parameters() if p.grad is None or not p.grad.any()}
    unused = {n for n in dict(net.named_parameters()) if n.startswith(("side.", "mask_token"))}
    biases = {n for n in silent if n.endswith("kv.bias") or n.endswith("qkv.bias")}
    assert silent - biases <= (set() if gamma else unused)


@pytest.mark.parametrize("form", FORMS)
def test_at_the_start_the_output_is_zero_and_text_is_silent(form: str) -> None:
    """The last layer and every cross-attention add 0."""
    net = network(awake=False, **FORMS[form])
    x = inputs(net.config)
    assert not net(*x).any()
    n_keys: list[Tensor] = []
    for module in net.modules():
        if hasattr(module, "cross"):
            module.cross.register_forward_hook(lambda m, i, out: n_keys.append(out))
    net(*x, mask_for(net, 0.5))
    assert len(n_keys) == net.config.depth + 1 and not any(h.any() for h in n_keys)


def test_a_mask_that_hides_nothing_is_no_mask() -> None:
    """gamma 0: no side block, the same output to the bit."""
    net = network()
    x = inputs(net.config)
    assert torch.equal(net(*x, mask_for(net, 0.0)), net(*x))


def test_the_encoder_never_sees_a_masked_token() -> None:
    """Its output has 1 + K tokens, and is unchanged when the masked places are."""
    net = network()
    mask = mask_for(net, 0.5)
    x = inputs(net.config).latents
    hidden = mask.hidden[:, :, None].expand(-1, -1, net.config.patch_size)
    spoiled = x + 9 * net.patches.join(hidden.float())
    before, after = encoded(net, x, mask), encoded(net, spoiled, mask)
    seen = 1 + net.config.patches // 2
    assert before.shape[1] == seen + -seen % ROUND
    assert torch.equal(before, after)
    assert not torch.equal(encoded(net, x, None), encoded(net, spoiled, None))


def test_tokens_that_round_the_length_are_not_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any rounding gives the same output and the same gradients."""
    net = network()
    x, mask = inputs(net.config), mask_for(net, 0.4)
    found = []
    for length in (1, 7, 64):
        monkeypatch.setattr(model, "ROUND", length)
        net.zero_grad()
        out = net(*x, mask)
        out.square().mean().backward()
        found.append([out, *(p.grad.clone() for p in net.parameters())])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("skip", [True, False])
def test_the_decoder_sees_masked_tokens_by_the_input_skip_alone(skip: bool) -> None:
    """With `input_skip` the output follows what is masked; without it nothing does."""
    net = network(input_skip=skip)
    mask = mask_for(net, 0.5)
    x = inputs(net.config)
    hidden = mask.hidden[:, :, None].expand(-1, -1, net.config.patch_size)
    spoiled = x._replace(latents=x.latents + 9 * net.patches.join(hidden.float()))
    assert torch.equal(net(*x, mask), net(*spoiled, mask)) is not skip


def test_the_side_block_fills_masked_places_and_leaves_visible_ones() -> None:
    """As defined: m side(x) + (1 - m) x on all tokens in order, m = 1 for the quality token."""
    net = network(**PARITY)
    net.decoder_position.data.normal_()
    mask = mask_for(net, 0.5)
    say = _told(net)
    x = torch.randn(2, 1 + mask.keep.shape[1], net.config.width)
    got = net._interpolate(x, say, None, mask)
    whole = net.mask_token.expand(2, net.config.patches, -1).clone()
    whole[~mask.hidden] = x[:, 1:].flatten(0, 1)
    whole = torch.cat([x[:, :1], whole + net.decoder_position], 1)
    m = torch.cat([torch.ones(2, 1), mask.hidden.float()], 1)[:, :, None]
    want = m * net.side(whole, say, None) + (1 - m) * whole
    torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-5)


def _told(net: QAMDT):  # type: ignore[no-untyped-def]
    from qamdt.train.network.blocks import Conditioning

    x = inputs(net.config)
    return Conditioning(torch.randn(2, 6, net.config.width), net.text(x.text), x.text_mask)


def test_the_quality_token_is_carried_at_any_mask() -> None:
    """At gamma 0.95 the output still follows quality, and only the used level learns."""
    net = network()
    mask = mask_for(net, 0.95)
    x = inputs(net.config)._replace(quality=torch.tensor([2.0, 4.0]))
    out = net(*x, mask)
    assert not torch.allclose(out, net(*x._replace(quality=torch.tensor([3.0, 4.0])), mask))
    out.square().mean().backward()
    assert net.quality.levels.grad.any(1).tolist() == [False, True, False, True, False]


def test_the_quality_token_has_no_place() -> None:
    """The learned decoder position is added to music alone."""
    net = network(**PARITY)
    net.decoder_position.data.fill_(3.0)
    x = torch.zeros(1, 1 + net.config.patches, net.config.width)
    moved = net._to_decoder(x)
    assert not moved[:, 0].any() and (moved[:, 1:] == 3).all()


@pytest.mark.parametrize("gamma", [None, 0.4])
def test_samples_do_not_know_their_batch(gamma: float | None) -> None:
    """Each alone, and in another order, equals itself in the batch."""
    net = network()
    x = inputs(net.config, batch=3)
    mask = None if gamma is None else mask_for(net, gamma, 3)
    whole = net(*x, mask)
    for i in range(3):
        alone = net(*(v[i : i + 1] for v in x), mask and Mask(*(v[i : i + 1] for v in mask)))
        torch.testing.assert_close(alone[0], whole[i], atol=1e-5, rtol=1e-5)
    order = torch.tensor([2, 0, 1])
    rotated = net(*(v[order] for v in x), mask and Mask(*(v[order] for v in mask)))
    torch.testing.assert_close(rotated, whole[order], atol=1e-5, rtol=1e-5)


def test_padding_of_text_is_not_heard() -> None:
    """Padding of any content and any length."""
    net = network()
    x = inputs(net.config)
    pad = torch.full((2, 4, net.config.text_width), 1e3)
    longer = x._replace(
        text=torch.cat([x.text, pad], 1),
        text_mask=torch.cat([x.text_mask, torch.zeros(2, 4, dtype=torch.bool)], 1),
    )
    torch.testing.assert_close(net(*longer), net(*x), atol=1e-5, rtol=1e-5)


def test_bfloat16_and_autocast() -> None:
    """Both run, and autocast's gradients are near those of float32."""
    net = network()
    x = inputs(net.config)
    net(*x).square().mean().backward()
    exact = net.embed.weight.grad.clone()
    net.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        out = net(*x)
    out.float().square().mean().backward()
    assert torch.nn.functional.cosine_similarity(net.embed.weight.grad, exact, 0).mean() > 0.98
    assert net.bfloat16()(*x).dtype == torch.bfloat16


@pytest.mark.parametrize("form", ["paper", "released"])
@pytest.mark.parametrize("gamma", [None, 0.4])
def test_compiled_is_the_same_network(form: str, gamma: float | None) -> None:
    """As one graph, with the same output and gradients."""
    net = network(**FORMS[form])
    x, mask = inputs(net.config), None if gamma is None else mask_for(net, gamma)
    torch._dynamo.reset()
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    found = []
    for function in (net, compiled):
        net.zero_grad()
        out = function(*x, mask)
        out.square().mean().backward()
        found.append([out, *(p.grad.clone() for p in net.parameters() if p.grad is not None)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_a_small_network_learns_a_batch() -> None:
    """100 steps of Adam on one fixed batch: the error falls below a fifth."""
    net = network(awake=False)
    x, target = inputs(net.config), torch.randn(2, *net.config.shape)
    mask = mask_for(net, 0.3)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    losses = []
    for _ in range(100):
        loss = (net(*x, mask) - target).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 5


def test_configurations() -> None:
    """Sizes exist, plain values read back, and what cannot be built says why."""
    assert sized("xl").width == 1152 and sized("xl").depth == 28 and sized("xl").heads == 16
    for name in SIZES:
        assert from_plain(sized(name, ffn="gelu").plain()) == sized(name, ffn="gelu")
    for wrong, message in (
        ({"depth": 5}, "even number"), ({"heads": 5}, "multiple of heads"),
        ({"position": "alibi"}, "rope2d, sincos"), ({"width": 36, "heads": 6}, "multiple of 4"),
        ({"frames": 0}, "at least 1"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=message):
            ModelConfig(**wrong)
    with pytest.raises(ConfigError, match="nano, s, b, xl"):
        sized("huge")
    with pytest.raises(ConfigError, match="no such setting dropout"):
        sized("nano", dropout=0.1)


def test_a_row_of_bands_knows_its_place() -> None:
    """With band vectors the same music in other bands is told apart, and at the start nothing changes;
    a checkpoint without them is read as it was."""
    plain, conditioning = network(awake=False, band_position=False), network(awake=False)
    assert (
        not conditioning.band_position.any()
        and conditioning.band_position.shape[0] == conditioning.config.grid[1] > 1
    )
    conditioning.load_state_dict(plain.state_dict(), strict=False)
    for net in (plain, conditioning):
        torch.nn.init.normal_(net.final.out.weight, generator=torch.Generator().manual_seed(0))
    x = inputs(conditioning.config)
    torch.testing.assert_close(conditioning(*x), plain(*x))
    conditioning.band_position.data.normal_()
    assert not torch.allclose(conditioning(*x), plain(*x))
    old = {k: v for k, v in plain.config.plain().items() if k not in ("band_position", "size")}
    assert not config_of({"model": old}).model.band_position
    assert config_of({"model": conditioning.config.plain()}).model.band_position
    assert sized("nano").band_position and not sized("nano", **PARITY).band_position
