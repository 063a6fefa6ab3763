"""Labels, directions and meanings of metrics and scorers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from reports.store.bootstrap import clusters_of

_TOO_LOW = "Few items bias it downwards: compare equal numbers of items only."
FCN_RULES = {"fcn-official": "official", "fcn-strict": "strict"}
"""Rules of the scorers that segment by an FCN."""
# Fields of a protocol on the network and the origin of its weights: `fcn-import`, built in, `fcn-train`.
_PUBLISHED = re.compile(r"FCN-8s, 20 channels\b")
_IMPORTED = "imported from "
_OF_STREETS = re.compile(r"p2pbench, (\d+ street scenes), ")
_TRAINED = re.compile(r"p2pbench fcn-train: (\w+), (\d+) items ")
_LONGEST_SOURCE = 60  # characters
STUDY = "amt-"
"""Prefix of the scorer's name of a study, before the study's name."""
CHANGE = ", change"
"""Suffix of the name of a metric's change between two results folders."""


@dataclass(frozen=True)
class MetricInfo:
    """Label, direction, digits and meaning of a metric.

    A metric whose `higher_is_better` is None is shown and never ranked. Values lie from `least` to `most`.
    """

    label: str
    higher_is_better: bool | None
    digits: int
    meaning: str
    least: float = -math.inf
    most: float = math.inf


@dataclass(frozen=True)
class ScorerInfo:
    """Title and meaning of a scorer, and the scope of its intervals.

    `brief` is a shorter title for use behind that of a metric; empty if the title is short.
    """

    title: str
    meaning: str
    over: str = "items"
    brief: str = ""


_METRICS = {
    "l1": MetricInfo(
        "L1", False, 4, "Mean absolute difference to the target, with images scaled to 0..1.", least=0, most=1
    ),
    "psnr": MetricInfo("PSNR (dB)", True, 2, "Peak signal-to-noise ratio against the target, mean over items."),
    "ssim": MetricInfo(
        "SSIM", True, 3, "Structural similarity to the target, at most 1, mean over items.", least=-1, most=1
    ),
    "gmsd": MetricInfo(
        "GMSD",
        False,
        3,
        "How unevenly the edges of an output differ from those of its target (gradient magnitude similarity "
        "deviation): 0 where they are equal, mean over items.",
        least=0,
    ),
    "sharpness": MetricInfo(
        "Sharpness",
        None,
        2,
        "Energy of the finest detail (the Laplacian) of all outputs, divided by that of all targets: 1 is as sharp as "
        "real, less is blurred, more is noisy.",
        least=0,
    ),
    "histogram_l": MetricInfo(
        "Histogram L",
        True,
        3,
        f"Overlap, 0..1, of the lightness distribution of all outputs with that of all targets. {_TOO_LOW}",
        least=0,
        most=1,
    ),
    "histogram_a": MetricInfo(
        "Histogram a",
        True,
        3,
        f"Overlap, 0..1, of the green-red distribution (Lab a) of all outputs with all targets. {_TOO_LOW}",
        least=0,
        most=1,
    ),
    "histogram_b": MetricInfo(
        "Histogram b",
        True,
        3,
        f"Overlap, 0..1, of the blue-yellow distribution (Lab b) of all outputs with all targets. {_TOO_LOW}",
        least=0,
        most=1,
    ),
    "lpips": MetricInfo(
        "LPIPS",
        False,
        3,
        "Perceptual distance between an output and its target by the network AlexNet, calibrated on human judgments: "
        "0 for equal pictures, mean over items.",
        least=0,
    ),
    "fid": MetricInfo(
        "FID",
        False,
        2,
        "Distance between the distributions of outputs and real pictures in the features of the network Inception. Few "
        "items bias it upwards: compare equal numbers of items only.",
        least=0,
    ),
    "kid": MetricInfo(
        "KID",
        False,
        4,
        "Like FID, by a distance that is unbiased with few items: about 0 where outputs resemble real pictures.",
    ),
    "pixel_accuracy": MetricInfo(
        "Pixel accuracy",
        True,
        3,
        "Share of the labelled pixels of all items that are predicted as their true class.",
        least=0,
        most=1,
    ),
    "class_accuracy": MetricInfo(
        "Class accuracy",
        True,
        3,
        "Share of each true class's pixels that are predicted correctly, over all items; mean of classes.",
        least=0,
        most=1,
    ),
    "class_iou": MetricInfo(
        "Class IoU",
        True,
        3,
        "Intersection over union of each class with the ground truth, over all items; mean of classes.",
        least=0,
        most=1,
    ),
    "fooling_rate": MetricInfo(
        "Fooling rate (%)",
        True,
        1,
        "Percentage of trials in which raters, shown a real image and an output for a second each, took the output for "
        "the real one: mean over raters. At 50 % the two are indistinguishable.",
        least=0,
        most=100,
    ),
}
_SCORERS = {
    "fcn-official": ScorerInfo(
        "FCN-score, official",
        "Outputs segmented by an FCN and compared with their input labels, by the rules of the published script, "
        "quirks included.",
    ),
    "fcn-strict": ScorerInfo(
        "FCN-score, strict",
        "Like the official FCN-score, but predictions outside the classes are errors and no image is dropped. IoU is "
        "that of Cityscapes' script: a class neither true nor predicted is omitted, one only predicted is 0.",
    ),
    "image": ScorerInfo("Image scores", "Each output against the target of its item, and the colours of all of them."),
    "lpips": ScorerInfo("LPIPS, AlexNet", "Each output against the target of its item, in a network's features."),
    "fid": ScorerInfo("FID, Inception", "All outputs against all real pictures, in a network's features."),
    "kid": ScorerInfo("KID, Inception", "All outputs against all real pictures, in a network's features."),
    "labels": ScorerInfo(
        "Label scores",
        "Each output pixel assigned to the class with the nearest label colour, against the true labels.",
    ),
    "labels-official": ScorerInfo(
        "Label scores, official",
        "Label scores by the rules of the published FCN-score script, quirks included, as in the paper.",
    ),
}


def describe(metric: str) -> MetricInfo:
    """Describe a metric; an unknown one has its own name, unranked."""
    if metric.endswith(CHANGE):  # it keeps the direction: the change is bad where the metric got worse
        changed = describe(metric.removesuffix(CHANGE))
        return replace(changed, label=f"{changed.label}{CHANGE}", meaning="B minus A, of the same item.")
    return _METRICS.get(metric, MetricInfo(metric, None, 4, ""))


def cost_of_absent(absent: int, classes: int) -> str:
    """Sentence on the cost of absent classes by official rules; else empty."""
    if not absent:
        return ""
    verbs = ("does", "counts") if absent == 1 else ("do", "count")
    return (
        f"{absent} of {classes} classes {verbs[0]} not occur and {verbs[1]} 0: class accuracy and class IoU can reach "
        f"at most {1 - absent / classes:.3f}"
    )


def describe_scorer(scorer: str, protocol: Mapping[str, object] | None = None) -> ScorerInfo:
    """Describe a scorer; an unknown one has its own name.

    FID and KID depend on the program and the number of items, and the FCN-score on its network: given the protocol,
    their titles name these, and the scope of intervals names its clusters of items.
    """
    clusters = clusters_of(protocol)
    described = _described(scorer, protocol)
    if clusters is None:
        return described
    return replace(described, over=f"raters and {clusters.things}" if scorer.startswith(STUDY) else clusters.things)


def _described(scorer: str, protocol: Mapping[str, object] | None) -> ScorerInfo:
    if scorer.startswith(STUDY):
        return ScorerInfo(
            f"Real vs fake: {scorer.removeprefix(STUDY)}",
            "The real-vs-fake study: raters see a real image and an output briefly, and choose the fake.",
            "raters and items",
        )
    known = _SCORERS.get(scorer, ScorerInfo(scorer, ""))
    if scorer in {"fid", "kid"} and protocol and {"implementation", "n"} <= protocol.keys():
        title = f"{scorer.upper()}, {protocol['implementation']} Inception, n = {protocol['n']}"
        return replace(known, title=title)
    if scorer in FCN_RULES and protocol and (own := own_scorer(protocol)):
        brief = f"{FCN_RULES[scorer]} rules, own scorer"
        meaning = f"{known.meaning} The network is not the published one: compare only with scores by the same network."
        return ScorerInfo(f"{brief}: {own}", meaning, brief=brief)
    return known


def own_scorer(protocol: Mapping[str, object]) -> str:
    """Network of an FCN-score other than the published one.

    Such as "FCN-4s trained on 1200 street scenes".

    Args:
        protocol: Protocol of the score. If it does not name the weights' origin, the network's form decides.

    Returns:
        "" for the published weights, and for an unknown network.
    """
    network, source = str(protocol.get("network", "")), str(protocol.get("weights_source", ""))
    if not network or (_PUBLISHED.match(network) and (not source or source.startswith(_IMPORTED))):
        return ""
    name = network.partition(",")[0]
    if match := _OF_STREETS.match(source):
        return f"{name} trained on {match[1]}"
    if match := _TRAINED.match(source):
        return f"{name} trained on {match[2]} items of {match[1]}"
    short = source if len(source) <= _LONGEST_SOURCE else f"{source[:_LONGEST_SOURCE]} ..."
    return f"{name}, {short}" if source else name
