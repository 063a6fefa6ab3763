"""The generators' convolutions, which halve or double a picture's sides: 4x4 filters, stride 2, pad 1.

Next to the bottleneck there are many weights and next to no positions. There, on a CPU, each is one matrix product
over the weights as they lie: kernels for convolutions reorder them first, which takes longer than the product. The
sums are the same, in another order.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

MOST_POSITIONS = 4  # of the smaller map of a picture; beyond it kernels for convolutions are quicker


class Down(nn.Conv2d):
    """The convolution that halves sides."""

    def __init__(self, entering: int, leaving: int) -> None:
        super().__init__(entering, leaving, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, leaving, H / 2, W / 2) of x (B, entering, H, W)."""
        height, width = x.shape[2] // 2, x.shape[3] // 2
        if x.device.type != "cpu" or height * width > MOST_POSITIONS:
            return super().forward(x)
        windows = functional.unfold(x, 4, padding=1, stride=2).transpose(1, 2)
        made = functional.linear(windows, self.weight.flatten(1), self.bias)
        return made.transpose(1, 2).reshape(len(x), -1, height, width)


class Up(nn.ConvTranspose2d):
    """The transposed convolution that doubles sides."""

    def __init__(self, entering: int, leaving: int) -> None:
        super().__init__(entering, leaving, 4, 2, 1)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """(B, leaving, 2 H, 2 W) of x (B, entering, H, W)."""
        batch, entering, height, width = x.shape
        if x.device.type != "cpu" or height * width > MOST_POSITIONS:
            return super().forward(x)
        assert self.bias is not None
        positions = x.flatten(2).transpose(1, 2).reshape(-1, entering)
        shares = (positions @ self.weight.flatten(1)).view(batch, height * width, -1).transpose(1, 2)
        return functional.fold(shares, (2 * height, 2 * width), 4, padding=1, stride=2) + self.bias[:, None, None]
