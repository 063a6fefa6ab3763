"""How long one training step takes, against the same step written plainly.

    python benchmarks/train_step.py [--steps 15] [--device cpu]

U-Net, conditional 70x70 discriminator, L1+cGAN at 256x256, ngf = ndf = 64, batch 1. In one process the two take turns,
step by step, so that both meet the machine's noise. The plain step is what a reader of the paper would write: contiguous
tensors, unfused Adam, gradients set to zero. Then the loader alone: the cached dataset, crop, flip and scaling of a batch.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from p2pbench.config import RunConfig, run_config
from p2pbench.datasets.cache import CachedSamples, Channels
from p2pbench.datasets.streets.scene import SIZES
from p2pbench.training.batches import Batch, Batches
from p2pbench.training.device import pick_device
from p2pbench.training.model import build
from p2pbench.training.step import training_step
