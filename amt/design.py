"""Which pairs each place of a study shows: balanced, and fixed before there is any rater.

One algorithm a session, no picture twice in it, sides drawn, algorithms interleaved in time. Source:
docs/paper-protocol.md#human-study.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from amt.errors import counted
from amt.protocol import Protocol, Side

Phase = Literal["practice", "scored", "attention", "spare"]


class Planned(NamedTuple):
    """A trial of a place.

    Attributes:
        phase: What it counts as; a spare takes the phase and the side of the trial that it stands in for.
        real: The item, as an index, whose real picture is shown.
        fake: The item whose fake is shown, the same if paired; in an attention check, whose broken fake.
        fake_side: Where the fake is shown.
    """

    phase: Phase
    real: int
    fake: int
    fake_side: Side


def interleaved(algorithms: int, raters: int, rng: np.random.Generator) -> list[int]:
    """The algorithm of each place, in the order in which places are given out: permuted blocks of all algorithms."""
    return [int(algorithm) for _ in range(raters) for algorithm in rng.permutation(algorithms)]


def schedules(items: int, protocol: Protocol, rng: np.random.Generator) -> list[list[Planned]]:
    """The trials of each place of one algorithm.

    Over the places an item is scored equally often, to within one, as real and as fake; likewise shown in practice,
    as far as no item comes twice in a place. Half of the fakes of practice, and half of the scored, are left.

    Args:
        items: How many items the study has.
        protocol: How many trials of which kind, and their pairing.
        rng: Draws everything.

    Returns:
        For each of `protocol.raters` places its trials: practice, then scored and attention checks mixed, then spares.

    Raises:
        ValueError: There are fewer items than `protocol.items`.
    """
    if items < protocol.items:
        raise ValueError(
            f"found {counted(items, 'item')}, expected at least {protocol.items}, each shown once in a session"
        )
    every = np.arange(items)
    scored = _dealt([every] * protocol.raters, items, protocol.scored, rng)
    free = [np.setdiff1d(every, taken) for taken in scored]
    practice = _dealt(free, items, protocol.practice, rng)
    return [
        _place(trained, tested, rng.permutation(np.setdiff1d(rest, trained)), protocol, rng)
        for tested, rest, trained in zip(scored, free, practice, strict=True)
    ]


def _dealt(
    free: Sequence[NDArray[np.int_]], items: int, count: int, rng: np.random.Generator
) -> list[NDArray[np.int_]]:
    """For each place `count` of its free items, so that all items are used as equally as can be; in random order.

    Each place takes those used least so far. Where not all items are free, that can leave an item behind; it then
    takes the part of one that is used two times more, in a place where it is free.
    """
    uses = np.zeros(items, int)
    dealt = []
    for among in free:
        shuffled = rng.permutation(among)
        chosen = shuffled[np.argsort(uses[shuffled], kind="stable")[:count]]
        uses[chosen] += 1
        dealt.append(set(chosen.tolist()))
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


def _place(
    practice: NDArray[np.int_],
    scored: NDArray[np.int_],
    others: NDArray[np.int_],
    protocol: Protocol,
    rng: np.random.Generator,
) -> list[Planned]:
    others = others[: protocol.attention + protocol.spares]
    groups = [scored, practice, others]
    reals = np.concatenate(groups)
    if len(others) == 1:  # it cannot change places with itself
        groups = [scored, np.concatenate([practice, others])]
    fakes = reals if protocol.pairing == "paired" else np.concatenate([_deranged(group, rng) for group in groups])
    phases: list[Phase] = ["scored"] * len(scored)
    phases += ["practice"] * len(practice)
    phases += ["attention"] * protocol.attention
    phases += ["spare"] * protocol.spares
    sides = [side for count in (len(scored), len(practice), len(others)) for side in _sides(count, rng)]
    trials = [
        Planned(phase, int(real), int(fake), side)
        for phase, real, fake, side in zip(phases, reals, fakes, sides, strict=True)
    ]
    mixed = [trial for trial in trials if trial.phase in {"scored", "attention"}]
    if protocol.attention:
        mixed = [mixed[index] for index in rng.permutation(len(mixed))]
    trained = [trial for trial in trials if trial.phase == "practice"]
    return [*trained, *mixed, *(trial for trial in trials if trial.phase == "spare")]


def _deranged(items: NDArray[np.int_], rng: np.random.Generator) -> NDArray[np.int_]:
    """The items in an order in which none stands at its own place; uniform over such orders."""
    while True:
        order = rng.permutation(items)
        if not (order == items).any():  # one in e on average
            return order


def _sides(count: int, rng: np.random.Generator) -> list[Side]:
    """Half left, half right, in random order; the odd one, if any, by a fair coin."""
    left = (count + int(rng.integers(2))) // 2
    sides: list[Side] = ["left"] * left
    sides += ["right"] * (count - left)
    return [sides[index] for index in rng.permutation(count)]
