"""Sanity check of a scorer: labels against themselves, real photos, shuffled labels.

Labels compared with themselves score 1. Labels whose pixels are shuffled within each image score chance. Real photos
give the ground-truth row, which is known only for Cityscapes with the published weights (paper, Table 1). For any other
scorer it is the ceiling of outputs' scores, which must be above chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import random_table

from fcn import score_protocols, scoring
from fcn.confusion import confusion
from fcn.labels import IGNORE
from fcn.score_protocols import Counts
from fcn.scoring import Example, Loaded, ScoringNetwork
from p2pbench.datasets.contents import cache_folder, item_contents
from p2pbench.datasets.dataset import LABELS_TO_PHOTO
from p2pbench.datasets.labelled import Cityscapes
from p2pbench.runtime.device import device_errors
from p2pbench.scoring.networks import network_protocol, open_network
from p2pbench.scoring.segmentation import SegmentationOptions
from p2pbench.scoring.truth import Truth
from reports.paper import GROUND_TRUTH, is_published
from reports.store.picture import to_eight_bits

TOLERANCE = 0.01  # around the paper's row and around chance
# Scores that others got with a wrong setup (docs/paper-protocol.md#reported-by-others), and the distance that counts
# as near.
WRONG_SETUPS = ((0.395, 0.057, 0.025), (0.430, 0.055, 0.025))
NEAR = 0.03
ABOVE_CHANCE = 0.05  # least share of the way from chance to 1, for class accuracy and IoU of real photos
GOOD = 0.8  # pixel accuracy of real photos with the published weights; scorers below it get a warning
SEED = 0


class Check(NamedTuple):
    """Scores of one check beside the expected ones.

    Attributes:
        question: Name of the check.
        scores: Pixel accuracy, class accuracy and class IoU.
        expected: The expected scores; None if they are unknown.
        right: Whether they agree; without expected scores, whether the scores are above chance.
        note: Explanation of the scores if none are expected.
    """

    question: str
    scores: tuple[float, ...]
    expected: tuple[float, ...] | None
    right: bool
    note: str = ""


@dataclass(frozen=True)
class SelfTest:
    """Results of all checks, likely causes, and a warning."""

    answers: list[Check]
    likely: list[str]
    warning: str | None


def self_test(truth: Truth, options: SegmentationOptions) -> SelfTest:
    """Run the three checks on a dataset's test items with a scorer.

    Args:
        truth: The dataset.
        options: The scorer's file, device, progress and stop flag.

    Raises:
        UserError: The dataset has no scorer, or a file cannot be read.
        FcnError: The scorer's file cannot be used.
        Stopped: A stop was requested; finished segmentations are kept.
    """
    scorer = open_network(truth, options.weights, options.device, options.reporter)
    contents = item_contents(truth.dataset, list(truth.items.values()))
    examples = [_example(truth, id_, content) for id_, content in contents.items()]
    path = cache_folder() / f"self-test-{truth.dataset.name}-{scorer.digest[:16]}.npz"
    with device_errors(options.device):
        matrices = scoring.score(scorer, examples, path, options.advance("real photos"))
    real = np.stack([kept.counts for kept in matrices.values()])
    themselves = np.stack([_themselves(truth, example.id, real.shape[-1]) for example in examples])
    photos = _photos(real, truth, scorer)
    answers = [
        _answer("labels against themselves", _three(themselves, "strict"), (1.0, 1.0, 1.0), 0),
        photos,
        _answer("shuffled labels", _three(_shuffled(real), "strict"), _three(_by_chance(real), "strict"), TOLERANCE),
    ]
    return SelfTest(answers, [] if photos.right else _likely(photos.scores, real, truth, scorer), _warning(photos))


def _example(truth: Truth, id_: str, content: str) -> Example:
    def load() -> Loaded:
        sample = truth.dataset.load(truth.items[id_], None)
        photo = sample.target if truth.dataset.direction == LABELS_TO_PHOTO else sample.input
        return Loaded(to_eight_bits(photo), truth.labels(id_))

    return Example(id_, lambda: f"{content} {truth.key(id_)}", load)


def _themselves(truth: Truth, id_: str, channels: int) -> NDArray[np.int64]:
    labels = truth.labels(id_)
    return confusion(labels, np.where(labels == IGNORE, 0, labels), len(truth.table.classes), channels)


def _shuffled(matrices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Confusion matrices after shuffling the true labels of each image, pixel by pixel."""
    # The matrix of a random permutation is a random table with the same row and column sums (hypergeometric), so
    # nothing has to be segmented again.
    random = np.random.default_rng(SEED)
    return np.stack([random_table(of.sum(axis=1), of.sum(axis=0)).rvs(random_state=random) for of in matrices])


def _by_chance(matrices: NDArray[np.int64]) -> NDArray[np.float64]:
    """Expected confusion matrices of shuffled labels: truth and prediction are independent."""
    rows, columns = matrices.sum(axis=2, keepdims=True), matrices.sum(axis=1, keepdims=True)
    expected: NDArray[np.float64] = rows * columns / rows.sum(axis=1, keepdims=True)
    return expected


def _three(matrices: Counts, rules: score_protocols.Protocol) -> tuple[float, ...]:
    values = score_protocols.scores(score_protocols.counted(matrices, rules).sum(axis=0), rules)
    return tuple(float(value) for value in values[:3])


def _answer(question: str, scores: tuple[float, ...], expected: tuple[float, ...], tolerance: float) -> Check:
    right = all(abs(score - wanted) <= tolerance for score, wanted in zip(scores, expected, strict=True))
    return Check(question, scores, expected, right)


def _photos(matrices: NDArray[np.int64], truth: Truth, scorer: ScoringNetwork) -> Check:
    """Check real photos against the paper's ground-truth row, or else against chance."""
    question = "real photos"
    if is_published(network_protocol(scorer)) and truth.is_papers:
        return _answer(question, _three(matrices, "official"), GROUND_TRUTH, TOLERANCE)
    scores = _three(matrices, "strict")
    chance = np.array(_three(_by_chance(matrices), "strict"))
    least = chance + ABOVE_CHANCE * (1 - chance)
    above = bool((np.array(scores) > least)[1:].all())
    place = (
        "above chance"
        if above
        else (
            f"hardly above chance: class accuracy above {least[1]:.3f} and class IoU above {least[2]:.3f} are expected"
        )
    )
    note = f"nothing is expected: the ceiling of what outputs can reach with this scorer; {place} (shuffled labels)"
    return Check(question, scores, None, above, note)


def _warning(photos: Check) -> str | None:
    """Warning about a scorer with a low pixel accuracy on real photos; None for others."""
    pixel = photos.scores[0]
    if photos.expected is not None or pixel >= GOOD:
        return None
    return (
        f"this scorer gets {100 * pixel:.1f} % of the pixels of real photos right, expected {100 * GOOD:.0f} % or "
        "more: outputs that score as much or more need not be as good as photos (smooth ones suit a weak scorer), and "
        "differences get lost in its errors; train it longer or on more items (p2pbench fcn-train), or take another"
    )


def _likely(scores: tuple[float, ...], matrices: NDArray[np.int64], truth: Truth, scorer: ScoringNetwork) -> list[str]:
    """Likely causes if real photos give neither the ground-truth row nor more than chance."""
    lines = []
    if any(all(abs(a - b) < NEAR for a, b in zip(scores, wrong, strict=True)) for wrong in WRONG_SETUPS):
        lines.append("others got such numbers where the labels were resized as the photos are, or with other weights")
    predicted = matrices[:, :-1].sum(axis=(0, 1))
    if predicted.max() > 0.9 * predicted.sum():
        lines.append(f"nearly all pixels got channel {int(predicted.argmax())}: these are not the weights")
    if not matrices[:, 10:, :].any():
        lines.append("no label beyond trainId 9 occurs: the label files hold something else than label ids")
    if is_published(network_protocol(scorer)):
        lines.append("the weights: import fcn-8s-cityscapes.caffemodel as published, 512 MB")
    else:
        lines.append(f"the scorer's training: {scorer.card.source}")
    if truth.dataset.name == Cityscapes.name:
        lines += [
            "the photos: *_leftImg8bit.png of the val split as published, 2048x1024, not reduced and not JPEG",
            "the labels: *_gtFine_labelIds.png as published, not trainIds and not resized",
        ]
    return lines
