"""LPIPS of a run's outputs as scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from p2pbench.datasets.clusters import ItemClusters, of_clusters, weights_of
from p2pbench.datasets.contents import picture_hash
from p2pbench.datasets.decoders import Picture
from p2pbench.datasets.transforms import Range, declared
from p2pbench.metrics.lpips import Lpips
from p2pbench.scoring.image_scores import Target, compared, mean, read_output, truth
from reports.store.scores import Scores

SCORER = "lpips"


def score_lpips(
    outputs: Mapping[str, Path],
    target: Target,
    n_expected: int,
    network: Lpips,
    *,
    native: bool = False,
    ends: Range | None = None,
    origin: Mapping[str, object] | None = None,
    clusters: ItemClusters | None = None,
) -> Scores:
    """Score output pictures against their targets; the arguments are those of `score_images`, and the network.

    Raises:
        Missing: the network cannot see these pictures.
        UserError: a picture cannot be decoded, or differs from its target in size, channels or depth.
    """
    ids = sorted(outputs)
    targets: dict[str, str] = {}

    def pair(id_: str) -> tuple[Picture, Picture]:
        expected = target(id_)
        targets[id_] = picture_hash(expected)
        return read_output(outputs[id_], expected, native=native), expected

    values = network.distances(map(pair, ids), ends)
    protocol = {
        **network.protocol(),
        "pictures": compared(native=native),
        **declared(ends),
        **truth(targets),
        **(origin or {}),
        **of_clusters(clusters, ids),
    }
    metric = mean(values, weights_of(ids, clusters))
    return Scores(SCORER, protocol, tuple(ids), n_expected, {SCORER: metric})
