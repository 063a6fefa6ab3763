"""The words of the report, each in a sentence or two: on hover where they head something, and listed at its end."""

from __future__ import annotations

GLOSSARY: dict[str, str] = {
    "task": "A translation problem with a direction, such as street labels to photos.",
    "item": "One test example. Its id is the file's name, the same for every cell.",
    "input": "What the generator gets.",
    "target": "What the generator should make: the real picture of the same item. In the study it is called real.",
    "output": "What the generator makes. In the study it is called fake.",
    "cell": "One variant in an ablation, such as L1+cGAN.",
    "grid": "The cells of one ablation, with the settings, dataset and seeds that they share.",
    "seed": "The number that all randomness of a training starts from. Several seeds tell how much is chance.",
    "run": "One training of one cell with one seed.",
    "score": "One number about a run, with its interval, the number of items behind it, and its protocol.",
    "protocol": "Every choice that changes a score: weights, sizes, resizing, what is ignored, the test-time settings.",
    "fingerprint": "The short hash of a protocol. Numbers are compared only where it is the same.",
    "95 % interval": "Where the number would lie in 95 of 100 draws of other test items (and other seeds, where there "
    "are several), by percentile bootstrap with 10,000 draws. With two or three seeds it is too narrow. "
    "A single item, or a single rater, has none: –.",
    "tie": "Two cells whose paired difference, over the same draws of items, has an interval that holds zero.",
    "real": "The row of the targets themselves, scored like outputs: what a perfect generator would get.",
    "rater": "A person who takes part in the real-vs-fake study.",
    "session": "A rater's one sitting, with outputs of one cell alone.",
    "trial": "One real and one fake image shown for a moment each, and the rater's answer which was fake.",
    "fooling rate": "In how many of 100 trials the fake was taken for real. 50 would be perfect.",
    "segmentation": "The class that the scorer's network sees in each pixel of a picture.",
    "IoU": "Intersection over union: the pixels of a class that were found, over those found or true.",
}


def term(word: str) -> str:
    """What a word means; empty where the glossary does not have it."""
    return GLOSSARY.get(word, "")
