"""Adam against torch's own: the same weights, moments and counts, bit for bit."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from p2pbench.training.optimizer import Adam

CPU = torch.device("cpu")
BETAS = (0.5, 0.999)


def network(memory_format: torch.memory_format) -> nn.Sequential:
    torch.manual_seed(0)
    built = nn.Sequential(nn.Conv2d(3, 5, 4), nn.LeakyReLU(0.2), nn.Conv2d(5, 2, 3))
    return built.to(memory_format=memory_format)


def backward(of: nn.Module, step: int) -> None:
    of.zero_grad()
    of(torch.rand(2, 3, 9, 9, generator=torch.Generator().manual_seed(step))).square().sum().backward()


def assert_same(ours: Adam, theirs: torch.optim.Adam) -> None:
    one, other = ours.state_dict()["state"], theirs.state_dict()["state"]
    assert one.keys() == other.keys()
    for place in one:
        assert one[place].keys() == other[place].keys()
        for key, value in one[place].items():
            assert torch.equal(value, other[place][key]), (place, key)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_steps_and_state_are_torchs(memory_format: torch.memory_format) -> None:
    one, other = network(memory_format), network(memory_format)
    ours = Adam(one.parameters(), rate=0.01, betas=BETAS, device=CPU)
    theirs = torch.optim.Adam(other.parameters(), lr=0.01, betas=BETAS, fused=True)
    for step in range(4):
        backward(one, step)
        backward(other, step)
        ours.set_rate(0.01 / (step + 1))
        theirs.param_groups[0]["lr"] = 0.01 / (step + 1)
        ours.step()
        theirs.step()
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert_same(ours, theirs)


@pytest.mark.parametrize("saved", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("loaded", [torch.contiguous_format, torch.channels_last])
def test_a_state_goes_on_whatever_the_layout_it_was_saved_in(
    saved: torch.memory_format, loaded: torch.memory_format
) -> None:
    first = network(saved)
    before = torch.optim.Adam(first.parameters(), lr=0.01, betas=BETAS, fused=True)
    backward(first, 0)
    before.step()
    networks = [network(loaded), network(loaded)]
    for each in networks:
        each.load_state_dict(first.state_dict())
    ours = Adam(networks[0].parameters(), rate=0.01, betas=BETAS, device=CPU)
    ours.load_state_dict(before.state_dict())
    theirs = torch.optim.Adam(networks[1].parameters(), lr=0.01, betas=BETAS)
    theirs.load_state_dict({**before.state_dict(), "param_groups": theirs.state_dict()["param_groups"]})
    for optimizer, each in zip((ours, theirs), networks, strict=True):
        for step in (1, 2):
            backward(each, step)
            optimizer.step()
    for a, b in zip(networks[0].parameters(), networks[1].parameters(), strict=True):
        assert torch.allclose(a, b, rtol=1e-5, atol=1e-7)


def test_a_raised_flag_stops_weights_moments_and_counts() -> None:
    one = network(torch.channels_last)
    adam = Adam(one.parameters(), rate=0.01, betas=BETAS, device=CPU)
    adam.found_inf = torch.zeros(())
    backward(one, 0)
    adam.step()

    def everything() -> list[Tensor]:
        moments = [value.clone() for state in adam.state.values() for value in state.values()]
        return [parameter.detach().clone() for parameter in one.parameters()] + moments

    before = everything()
    adam.found_inf.fill_(1)
    backward(one, 1)
    adam.step()
    assert all(torch.equal(a, b) for a, b in zip(before, everything(), strict=True))
    adam.found_inf.fill_(0)
    adam.step()
    assert not torch.equal(before[0], everything()[0])


@pytest.mark.process
def test_torchs_compiler_is_not_imported() -> None:
    code = (
        "import sys, torch\n"
        "from p2pbench.training.optimizer import Adam\n"
        "weight = torch.nn.Parameter(torch.zeros(2))\n"
        "adam = Adam([weight], rate=0.1, betas=(0.5, 0.9), device=torch.device('cpu'))\n"
        "weight.sum().backward()\n"
        "adam.step()\n"
        "adam.zero_grad()\n"
        "adam.load_state_dict(adam.state_dict())\n"
        "sys.exit('torch._dynamo' in sys.modules)"  # it takes seconds
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
