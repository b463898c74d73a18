"""A committee says the mean of what its members say, and comes back from its file as it was."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from qamdt.models.pmos import WEIGHTS
from qamdt.models.pmos_front import BASIC_CUES, CUES, MELS
from qamdt.models.pmos_net import Committee, NetConfig, PmosNet, read_committee, write_committee

KINDS = ("white", "nothing")


@pytest.fixture
def members() -> list[PmosNet]:
    """Two small networks, one of all cues and one of the basic ones."""
    torch.manual_seed(7)
    sizes = {"width": 32, "layers": 1, "inner": 64, "kinds": KINDS}
    return [PmosNet(NetConfig(cues=cues, **sizes)).eval() for cues in (CUES, BASIC_CUES)]


@pytest.fixture
def heard() -> torch.Tensor:
    return torch.randn(3, MELS + CUES, 60, generator=torch.Generator().manual_seed(1))


def test_a_committee_says_the_mean(members: list[PmosNet], heard: torch.Tensor) -> None:
    """Of scores, damage and similarity; it hears as many cues as its keenest member."""
    both = Committee(members).eval()
    first, second = (member(heard) for member in members)
    assert both.cues == CUES and Committee(members[1:]).cues == BASIC_CUES
    for mean, a, b in zip(both(heard), first, second, strict=True):
        torch.testing.assert_close(mean, (a + b) / 2)
    assert (first.mos - second.mos).abs().max() > 1e-3


def test_a_committee_comes_back_from_its_file(
    members: list[PmosNet], heard: torch.Tensor, tmp_path: Path
) -> None:
    """In half precision, lifted by what was asked; the header keeps what was said about it."""
    path = tmp_path / "c.safetensors"
    write_committee(members, path, {"recipe": "r"}, lift=0.25)
    back, own = read_committee(path), Committee(members).eval()
    torch.testing.assert_close(back(heard).mos, own(heard).mos + 0.25, atol=5e-3, rtol=0)
    torch.testing.assert_close(back(heard).damage, own(heard).damage, atol=2e-2, rtol=0)
    with safe_open(path, "pt") as file:
        assert file.metadata()["recipe"] == "r"


def test_a_file_of_one_network_is_a_committee_of_one(
    members: list[PmosNet], heard: torch.Tensor, tmp_path: Path
) -> None:
    import json

    path = tmp_path / "one.safetensors"
    config = json.dumps(members[0].config.plain())
    save_file(members[0].state_dict(), path, metadata={"config": config})
    torch.testing.assert_close(read_committee(path)(heard).mos, members[0](heard).mos)


def test_the_members_of_pmos_mini_do_not_agree_too_well(heard: torch.Tensor) -> None:
    """They were trained apart: equal members would be one network at twice the cost."""
    net = read_committee(WEIGHTS)
    scores = [member(heard).mos for member in net.members]
    assert len(scores) == 2
    assert (scores[0] - scores[1]).abs().max() > 1e-2
