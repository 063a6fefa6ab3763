"""Trial schedules of a study: balanced, and fixed before the first rater.

A slot is one session's schedule, given to one rater. It has one algorithm, shows no picture twice and draws the sides;
slots of all algorithms are interleaved in time. Source: docs/paper-protocol.md#human-study.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from amt.errors import counted
from amt.protocol import Protocol, Side

Phase = Literal["practice", "scored", "attention", "spare"]


class PlannedTrial(NamedTuple):
    """One trial of a slot's schedule.

    Attributes:
        phase: Its role; a spare adopts phase and side of the trial that it replaces.
        real: Index of the item whose real picture is shown.
        fake: Index of the item whose fake is shown (the same item if paired); in an attention check, its broken fake.
        fake_side: Side of the fake.
    """

    phase: Phase
    real: int
    fake: int
    fake_side: Side


def interleaved(algorithms: int, raters: int, rng: np.random.Generator) -> list[int]:
    """Algorithm of each slot in order of assignment, in permuted blocks."""
    # A block has each algorithm once, so that algorithms are rated at the same times of day however the study ends.
    return [int(algorithm) for _ in range(raters) for algorithm in rng.permutation(algorithms)]


def schedules(items: int, protocol: Protocol, rng: np.random.Generator) -> list[list[PlannedTrial]]:
    """Draw the trials of each slot of one algorithm.

    Over all slots each item is scored equally often, to within one, as real and as fake; the same holds for practice
    as far as no item repeats within a slot. Half of the practice fakes, and half of the scored ones, are on the left.

    Args:
        items: Number of items in the study.
        protocol: Numbers of trials by phase, and their pairing.
        rng: Source of all draws.

    Returns:
        The trials of each of `protocol.raters` slots: practice, then scored and attention checks mixed, then spares.

    Raises:
        ValueError: There are fewer items than `protocol.items`.
    """
    if items < protocol.items:
        raise ValueError(
            f"found {counted(items, 'item')}, expected at least {protocol.items}, as no item repeats within a session"
        )
    all_items = np.arange(items)
    # Scored items first, as their balance matters; practice takes what is left in each slot.
    scored = _dealt([all_items] * protocol.raters, items, protocol.scored, rng)
    free = [np.setdiff1d(all_items, taken) for taken in scored]
    practice = _dealt(free, items, protocol.practice, rng)
    return [
        _slot(trained, tested, rng.permutation(np.setdiff1d(rest, trained)), protocol, rng)
        for tested, rest, trained in zip(scored, free, practice, strict=True)
    ]


def _dealt(
    free: Sequence[NDArray[np.int_]], items: int, count: int, rng: np.random.Generator
) -> list[NDArray[np.int_]]:
    """Deal `count` free items to each slot, using all items equally.

    Each slot takes the least-used items so far. Where not all items are free, this greedy pass can leave an item
    behind; it then replaces one with at least two uses more, in a slot where it is free.
    """
    uses = np.zeros(items, int)
    dealt = []
    for among in free:
        shuffled = rng.permutation(among)
        chosen = shuffled[np.argsort(uses[shuffled], kind="stable")[:count]]
        uses[chosen] += 1
        dealt.append(set(chosen.tolist()))
    # Each swap lowers the sum of squared uses, so the loop ends.
    moved = True
    while moved:
        moved = False
        for chosen_set, among in zip(dealt, free, strict=True):
            spare = [item for item in among.tolist() if item not in chosen_set]
            most, least = max(chosen_set, key=uses.__getitem__, default=0), min(spare, key=uses.__getitem__, default=0)
            if chosen_set and spare and uses[most] > uses[least] + 1:
                chosen_set.symmetric_difference_update({most, least})
                uses[most], uses[least], moved = uses[most] - 1, uses[least] + 1, True
    return [rng.permutation(sorted(chosen)).astype(int) for chosen in dealt]


def _slot(
    practice: NDArray[np.int_],
    scored: NDArray[np.int_],
    others: NDArray[np.int_],
    protocol: Protocol,
    rng: np.random.Generator,
) -> list[PlannedTrial]:
    # Sides are balanced within each of the groups; checks and spares come from the items left over.
    others = others[: protocol.attention + protocol.spares]
    groups = [scored, practice, others]
    reals = np.concatenate(groups)
    if len(others) == 1:  # a single item has no derangement
        groups = [scored, np.concatenate([practice, others])]
    fakes = reals if protocol.pairing == "paired" else np.concatenate([_deranged(group, rng) for group in groups])
    phases: list[Phase] = ["scored"] * len(scored)
    phases += ["practice"] * len(practice)
    phases += ["attention"] * protocol.attention
    phases += ["spare"] * protocol.spares
    sides = [side for count in (len(scored), len(practice), len(others)) for side in _sides(count, rng)]
    trials = [
        PlannedTrial(phase, int(real), int(fake), side)
        for phase, real, fake, side in zip(phases, reals, fakes, sides, strict=True)
    ]
    mixed = [trial for trial in trials if trial.phase in {"scored", "attention"}]
    if protocol.attention:
        mixed = [mixed[index] for index in rng.permutation(len(mixed))]
    trained = [trial for trial in trials if trial.phase == "practice"]
    return [*trained, *mixed, *(trial for trial in trials if trial.phase == "spare")]


def _deranged(items: NDArray[np.int_], rng: np.random.Generator) -> NDArray[np.int_]:
    """Draw a uniform derangement: no item keeps its position."""
    while True:
        order = rng.permutation(items)
        if not (order == items).any():  # accepted with probability 1 / e
            return order


def _sides(count: int, rng: np.random.Generator) -> list[Side]:
    """Draw sides, half of them left; an odd one at random."""
    left = (count + int(rng.integers(2))) // 2
    sides: list[Side] = ["left"] * left
    sides += ["right"] * (count - left)
    return [sides[index] for index in rng.permutation(count)]
