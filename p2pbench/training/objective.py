"""The terms of the objective. Sources: paper, section 3.1; docs/paper-protocol.md#training."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def adversarial(logits: Tensor, *, real: bool) -> Tensor:
    """Binary cross-entropy of a discriminator's logits (B, 1, h, w) against one answer, averaged over the patches.

    The generator takes it with `real=True` on its own outputs: it maximises log D, which does not saturate.
    """
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def reconstruction(term: str, output: Tensor, target: Tensor) -> Tensor:
    """The mean absolute (L1) or squared (L2) difference of two batches in [-1, 1]."""
    return functional.l1_loss(output, target) if term == "L1" else functional.mse_loss(output, target)
