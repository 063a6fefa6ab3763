"""What the roofline counts, by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import roofline
from fcn.network import FCN
from fcn.weights import PUBLISHED


def test_operations_of_a_small_network_by_hand() -> None:
    down, up, last = nn.Conv2d(3, 8, 4, 2, 1), nn.ConvTranspose2d(8, 5, 4, 2, 1), nn.Linear(5 * 16 * 16, 10)
    x = torch.rand(2, 3, 16, 16)

    def work() -> None:
        last(up(down(x).relu()).flatten(1)).sum().backward()

    by_layer = [
        2 * (2 * 8 * 8) * 8 * 3 * 16,  # each position of the small map: weights of a filter times filters
        2 * (2 * 8 * 8) * 8 * 5 * 16,
        2 * 2 * 1280 * 10,
    ]
    # Forward, gradients of the weights, and gradients of what enters, which the first layer spares.
    assert roofline.count(work).flop == 3 * sum(by_layer) - by_layer[0]


def test_operations_of_the_published_fcn_by_hand() -> None:
    with torch.device("meta"), torch.no_grad():
        network, image = FCN(PUBLISHED), torch.empty(1, 3, 1024, 2048)
        flop = roofline.count(lambda: network(image)).flop
    # Sides after padding by 100 and a first convolution without padding; pools round up.
    sides = [(1222, 2246), (611, 1123), (306, 562), (153, 281), (77, 141)]
    stages = [[3, 64, 64], [64, 128, 128], [128, *[256] * 3], [256, *[512] * 3], [512, *[512] * 3]]
    multiplications = sum(
        height * width * 9 * before * after
        for (height, width), stage in zip(sides, stages, strict=True)
        for before, after in zip(stage, stage[1:], strict=False)
    )
    multiplications += 33 * 65 * (49 * 512 * 4096 + 4096 * 4096 + 4096 * 20)  # fc6 of 39 x 71 cells, fc7, score_fr
    multiplications += 77 * 141 * 512 * 20 + 153 * 281 * 256 * 20  # scores of pool4 and pool3
    multiplications += (33 * 65 + 68 * 132) * 20 * 20 * 4 * 4 + 138 * 266 * 20 * 20 * 16 * 16  # deconvolutions
    assert flop == 2 * multiplications


@pytest.mark.parametrize(
    ("work", "floats"),
    [
        (lambda a, b: a + b, 300),
        (lambda a, b: a.add_(b), 300),
        (lambda a, b: a.copy_(b), 200),
        (lambda a, b: a.view(10, 10).t(), 0),
        (lambda a, b: a + b[:1].expand(100), 201),
        (lambda a, b: torch.empty_like(a), 0),
        (lambda a, b: a * a, 200),
        (lambda a, b: torch._foreach_add_([a, b], 1.0), 400),
    ],
)
def test_bytes_of_operators_by_hand(work: Callable[[Tensor, Tensor], object], floats: int) -> None:
    a, b = torch.rand(100), torch.rand(100)
    assert roofline.count(lambda: work(a, b)).bytes == 4 * floats
