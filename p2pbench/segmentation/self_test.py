"""Is the FCN-score set up right? Three questions whose answers are known.

Labels compared with themselves give 1. Real photos give the ground-truth row, which the paper has for Cityscapes with
the published weights (Table 1). Labels whose pixels are shuffled within each image give chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import random_table

from fcn import protocol, scoring
from fcn.confusion import confusion
from fcn.labels import IGNORE
from fcn.protocol import Counts
from fcn.scoring import Example, Loaded, Photo, Scorer
from p2pbench.datasets.cache import cache_folder
from p2pbench.datasets.cityscapes import Cityscapes
from p2pbench.datasets.contents import item_contents
from p2pbench.datasets.dataset import LABELS_TO_PHOTO
from p2pbench.segmentation.scorers import open_scorer
from p2pbench.segmentation.truth import Truth
from p2pbench.segmentation.work import Work
from p2pbench.training.device import failures_told
from reports.paper import GROUND_TRUTH
from reports.picture import to_eight_bits

TOLERANCE = 0.01  # around the paper's row and around chance
PUBLISHED_CHANNELS = 20
VALIDATION_ITEMS = 500  # of Cityscapes, which the paper's row is of
# What a wrong setup gave others (docs/paper-protocol.md#reported-by-others), and near it.
WRONG_SETUPS = ((0.395, 0.057, 0.025), (0.430, 0.055, 0.025))
NEAR = 0.03
BEYOND_CHANCE = 2  # times chance is the least that class accuracy and IoU of real photos must be
SEED = 0


class Answer(NamedTuple):
    """One question, what came out, and what had to.

    Attributes:
        question: In a few words.
        scores: Pixel accuracy, class accuracy and class IoU.
        expected: Likewise; None where nobody knows.
        right: Whether they agree.
    """

    question: str
    scores: tuple[float, ...]
    expected: tuple[float, ...] | None
    right: bool


@dataclass(frozen=True)
class SelfTest:
    """The answers, and what is likely wrong where one is wrong, a line each."""

    answers: list[Answer]
    likely: list[str]


def self_test(truth: Truth, work: Work) -> SelfTest:
    """Ask the three questions about a dataset's test items and its scorer.

    Args:
        truth: The dataset.
        work: The scorer's file, and who is told.

    Raises:
        UserError: The dataset has no scorer, or a file cannot be read.
        FcnError: The scorer's file cannot be used.
        Stopped: The user asked to stop; what was segmented is kept.
    """
    scorer = open_scorer(truth, work.weights, work.device, work.listener)
    contents = item_contents(truth.dataset, list(truth.items.values()))
    examples = [_example(truth, id_, content) for id_, content in contents.items()]
    path = cache_folder() / f"self-test-{truth.dataset.name}-{scorer.digest[:16]}.npz"
    with failures_told(work.device):
        matrices = scoring.score(scorer, examples, path, work.advance("real photos"))
    real = np.stack([kept.counts for kept in matrices.images.values()])
    themselves = np.stack([_themselves(truth, example.id, real.shape[-1]) for example in examples])
    photos = _photos(real, truth, scorer)
    answers = [
        _answer("labels against themselves", _three(themselves, "strict"), (1.0, 1.0, 1.0), 0),
        photos,
        _answer("shuffled labels", _three(_shuffled(real), "strict"), _three(_by_chance(real), "strict"), TOLERANCE),
    ]
    return SelfTest(answers, [] if photos.right else _likely(photos.scores, real))


def _example(truth: Truth, id_: str, content: str) -> Example:
    def load() -> Loaded:
        sample = truth.dataset.load(truth.items[id_], None)
        photo = sample.target if truth.dataset.direction == LABELS_TO_PHOTO else sample.input
        return Loaded(Photo(to_eight_bits(photo)), truth.labels(id_))

    return Example(id_, lambda: f"{content} {truth.key(id_)}", load)


def _themselves(truth: Truth, id_: str, channels: int) -> NDArray[np.int64]:
    labels = truth.labels(id_)
    return confusion(labels, np.where(labels == IGNORE, 0, labels), len(truth.table.classes), channels)


def _shuffled(matrices: NDArray[np.int64]) -> NDArray[np.int64]:
    """The matrices that come out when the labels of each image change places with one another, pixel by pixel.

    Which pixels are true to which is then a random table with the same sums, so nothing has to be segmented again.
    """
    random = np.random.default_rng(SEED)
    return np.stack([random_table(each.sum(axis=1), each.sum(axis=0)).rvs(random_state=random) for each in matrices])


def _by_chance(matrices: NDArray[np.int64]) -> NDArray[np.float64]:
    """What is expected of shuffled labels: truth and prediction know nothing of each other."""
    rows, columns = matrices.sum(axis=2, keepdims=True), matrices.sum(axis=1, keepdims=True)
    expected: NDArray[np.float64] = rows * columns / rows.sum(axis=1, keepdims=True)
    return expected


def _three(matrices: Counts, rules: protocol.Protocol) -> tuple[float, ...]:
    values = protocol.scores(protocol.counted(matrices, rules).sum(axis=0), rules)
    return tuple(float(value) for value in values[:3])


def _answer(question: str, scores: tuple[float, ...], expected: tuple[float, ...], tolerance: float) -> Answer:
    right = all(abs(found - wanted) <= tolerance for found, wanted in zip(scores, expected, strict=True))
    return Answer(question, scores, expected, right)


def _photos(matrices: NDArray[np.int64], truth: Truth, scorer: Scorer) -> Answer:
    """The ground-truth row: the paper's where it has one, else anything that chance does not give."""
    question = "real photos"
    published = truth.dataset.name == Cityscapes.name and scorer.card.architecture.channels == PUBLISHED_CHANNELS
    if published and len(matrices) == VALIDATION_ITEMS:
        return _answer(question, _three(matrices, "official"), GROUND_TRUTH, TOLERANCE)
    scores = _three(matrices, "strict")
    chance = _three(_by_chance(matrices), "strict")
    return Answer(question, scores, None, all(np.array(scores[1:]) > BEYOND_CHANCE * np.array(chance[1:])))


def _likely(scores: tuple[float, ...], matrices: NDArray[np.int64]) -> list[str]:
    """What to look at, where real photos do not give the ground-truth row."""
    lines = []
    if any(all(abs(a - b) < NEAR for a, b in zip(scores, wrong, strict=True)) for wrong in WRONG_SETUPS):
        lines.append("others got such numbers where the labels were resized as the photos are, or with other weights")
    predicted = matrices[:, :-1].sum(axis=(0, 1))
    if predicted.max() > 0.9 * predicted.sum():
        lines.append(f"nearly all pixels got channel {int(predicted.argmax())}: these are not the weights")
    if not matrices[:, 10:, :].any():
        lines.append("no label beyond trainId 9 occurs: the label files hold something else than label ids")
    return [
        *lines,
        "the weights: import fcn-8s-cityscapes.caffemodel as published, 512 MB",
        "the photos: *_leftImg8bit.png of the val split as published, 2048x1024, not reduced and not JPEG",
        "the labels: *_gtFine_labelIds.png as published, not trainIds and not resized",
    ]
