"""The paper's FCN-scores stand beside those of the published network alone, which the protocol must name."""

from __future__ import annotations

import torch

from fcn.labels import CITYSCAPES
from fcn.network import FCN
from fcn.scoring import ScoringNetwork
from fcn.weights import PUBLISHED, Card
from p2pbench.scoring import segmentation
from p2pbench.scoring.networks import network_protocol
from reports import paper
from reports.store.grids import GridDescription

DATASET = {"name": "cityscapes", "direction": "labels-to-photo", "test": {"n": 500}}


def test_the_protocol_names_the_published_network_as_the_report_expects_it() -> None:
    with torch.device("meta"):  # 500 MB of weights otherwise
        network = FCN(PUBLISHED)
    card = Card(PUBLISHED, CITYSCAPES.classes, CITYSCAPES.name, 256, "imported from fcn-8s-cityscapes.caffemodel", None)
    protocol = network_protocol(ScoringNetwork(network, card, "digest"))
    grid = GridDescription("", "", {"L1": {}}, (0,), DATASET, {}, {}, None)
    found = paper.value(grid, segmentation.FCN.official, "class_iou", "L1", protocol)
    assert found is not None
    assert found.value == 0.11
