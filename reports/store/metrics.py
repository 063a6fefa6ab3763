"""Labels, directions and meanings of metrics and scorers."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from reports.store.bootstrap import clusters_of


@dataclass(frozen=True)
class MetricInfo:
    """Label, direction, digits and meaning of a metric.

    `higher_is_better` is None where nobody has said so: the metric is shown and never ranked. No value lies below
    `least` or above `most`.
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

    `brief` is its title where that of a metric stands before it; empty where the title is short enough.
    """

    title: str
    meaning: str
    over: str = "items"
    brief: str = ""


_TOO_LOW = "Few items make it too low, so that only equally many may be compared."
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
        "How far apart the network AlexNet finds an output and its target, weighted as people judged: 0 for equal "
        "ones, mean over items.",
        least=0,
    ),
    "fid": MetricInfo(
        "FID",
        False,
        2,
        "Distance of all outputs from all real pictures in what the network Inception sees in them. Few items make it "
        "too high, so that only equally many may be compared.",
        least=0,
    ),
    "kid": MetricInfo(
        "KID",
        False,
        4,
        "The same by another distance, which few items do not make too high: about 0 where outputs are like real ones.",
    ),
    "pixel_accuracy": MetricInfo(
        "Pixel accuracy",
        True,
        3,
        "Share of the labelled pixels, of all items together, that got their true class.",
        least=0,
        most=1,
    ),
    "class_accuracy": MetricInfo(
        "Class accuracy",
        True,
        3,
        "For each class of the truth the share of its pixels that got it, over all items; mean of classes.",
        least=0,
        most=1,
    ),
    "class_iou": MetricInfo(
        "Class IoU",
        True,
        3,
        "For each class intersection over union with the truth, over all items; mean of classes.",
        least=0,
        most=1,
    ),
    "fooling_rate": MetricInfo(
        "Fooling rate (%)",
        True,
        1,
        "How often raters, shown a real image and an output for a second each, took the output for the real one: mean "
        "over raters. At 50 % the two cannot be told apart.",
        least=0,
        most=100,
    ),
}
_SCORERS = {
    "fcn-official": ScorerInfo(
        "FCN-score, official",
        "Outputs segmented by an FCN and compared with the labels they were made from, by the rules of the published "
        "script, quirks included.",
    ),
    "fcn-strict": ScorerInfo(
        "FCN-score, strict",
        "The same, with predictions outside the classes as errors and no image dropped. IoU is that of Cityscapes' own "
        "script: a class is left out where it is neither true nor predicted, and counts 0 where it is predicted alone.",
    ),
    "image": ScorerInfo("Image scores", "Each output against the target of its item, and the colours of all of them."),
    "lpips": ScorerInfo("LPIPS, AlexNet", "Each output against the target of its item, as a network sees them."),
    "fid": ScorerInfo("FID, Inception", "All outputs against all real pictures, as a network sees them."),
    "kid": ScorerInfo("KID, Inception", "All outputs against all real pictures, as a network sees them."),
    "labels": ScorerInfo(
        "Label scores", "Each pixel of an output as the class of the nearest label colour, against the true labels."
    ),
    "labels-official": ScorerInfo(
        "Label scores, official",
        "The same by the rules of the published FCN-score script, quirks included, as the paper's own were.",
    ),
}
FCN_RULES = {"fcn-official": "official", "fcn-strict": "strict"}
"""The rules of the scorers that segment by an FCN."""
# What a protocol says of the network and of what made its weights: `fcn-import`, the program itself, `fcn-train`.
_PUBLISHED = re.compile(r"FCN-8s, 20 channels\b")
_IMPORTED = "imported from "
_OF_STREETS = re.compile(r"p2pbench, (\d+ street scenes), ")
_TRAINED = re.compile(r"p2pbench fcn-train: (\w+), (\d+) items ")
_LONGEST_SOURCE = 60
STUDY = "amt-"
"""The scorer of a study's fooling rates is called this and the study's name."""
CHANGE = ", change"
"""What of a metric differs between two results folders is called as the metric, with this behind it."""


def describe(metric: str) -> MetricInfo:
    """Describe a metric; an unknown one has its own name, unranked."""
    if metric.endswith(CHANGE):  # an item whose metric got worse has the worse change
        changed = describe(metric.removesuffix(CHANGE))
        return replace(changed, label=f"{changed.label}{CHANGE}", meaning="B less A, of the same item.")
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

    FID and KID depend on the program and on the number of items, and the FCN-score on who trained its network: their
    titles name that where the protocol is given, and what intervals are over says its clusters of items.
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
            "The real-vs-fake study: raters see a real image and an output, each for a moment, and say which is fake.",
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
        protocol: That of the score. Where it does not say what made the weights, the network's form decides.

    Returns:
        "" for the published weights, and where nothing is known of the network.
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
