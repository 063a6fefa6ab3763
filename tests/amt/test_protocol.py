"""The protocol's fingerprint, and what it refuses."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from amt.protocol import Protocol, Rules, Timing


def test_the_defaults_are_the_papers() -> None:
    protocol = Protocol()
    assert (protocol.raters, protocol.practice, protocol.scored, protocol.attention) == (50, 10, 40, 0)
    assert (protocol.width, protocol.height, protocol.items) == (256, 256, 55)
    assert protocol.timing == Timing(blank=900, exposure=1000, gap=600, prompt=100, feedback=2400)
    assert protocol.timing.least == 2700


@pytest.mark.parametrize(
    "changed",
    [
        {"raters": 49},
        {"scored": 38},
        {"pairing": "unpaired"},
        {"spares": 6},
        {"timing": Timing(exposure=500)},
        {"rules": Rules(one_side=0.95)},
    ],
)
def test_every_setting_is_in_the_fingerprint(changed: dict[str, object]) -> None:
    other = Protocol.model_validate(changed)
    assert other.fingerprint != Protocol().fingerprint
    assert Protocol.model_validate_json(other.model_dump_json()).fingerprint == other.fingerprint


def test_odd_numbers_cannot_be_balanced() -> None:
    with pytest.raises(ValidationError, match="scored: found 41, expected an even number such as 40 or 42"):
        Protocol(scored=41)


@pytest.mark.parametrize("of_one", [{"spares": 1}, {"spares": 0, "attention": 1}])
def test_a_single_unpaired_trial_beside_the_scored_ones_is_refused(of_one: dict[str, int]) -> None:
    with pytest.raises(ValidationError, match="found a single trial beside the scored ones, unpaired"):
        Protocol(pairing="unpaired", practice=0, **of_one)
    Protocol(pairing="unpaired", practice=2, **of_one)
    Protocol(pairing="paired", practice=0, **of_one)
