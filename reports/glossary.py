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
    "95 % interval": "A range made so that 95 of 100 such ranges hold the cell's expected score: over other trainings "
    "and test items where a cell has several seeds, over other test items alone where it has one. By Student's t, from "
    "the variance between seeds and between items, or clusters of them. –: there is none, as of a single item, of "
    "items that are all alike, or of a few far from all others.",
    "cluster": "Items that vary together, as frames of one drive do. Draws are then of whole clusters, and Student's t "
    "has one degree of freedom less than there are clusters; fewer where their sizes differ.",
    "tie": "Cells whose difference may be chance: of trainings, of test items, or both.",
    "on these items": "Said where fewer than two cells have several trainings: another training of the same cell may "
    "come out otherwise, and one tells nothing of by how much. Train more seeds to decide.",
    "with this training": "Said of fooling rates of cells with one training each: it holds for other raters and other "
    "items, but another training of the same cell may come out otherwise. Judge more seeds to decide.",
    "real": "The row of the targets themselves, scored like outputs: what a perfect generator would get.",
    "rater": "A person who takes part in the real-vs-fake study.",
    "session": "A rater's one sitting, with outputs of one cell alone.",
    "trial": "One real and one fake image shown for a moment each, and the rater's answer which was fake.",
    "fooling rate": "In how many of 100 trials the fake was taken for real. 50 would be perfect. Its interval is over "
    "raters and items, or clusters of these, by Wilson's formula with as many answers as would vary so were they "
    "independent; where several trainings of a cell were judged, over these too, by Student's t.",
    "reliability": "The share of the variance of items' fooling rates that is not chance of the few answers per item.",
    "segmentation": "The class that the scorer's network sees in each pixel of a picture.",
    "IoU": "Intersection over union: the pixels of a class that were found, over those found or true.",
}


def term(word: str) -> str:
    """What a word means; empty where the glossary does not have it."""
    return GLOSSARY.get(word, "")
