"""Protocol of a study: settings behind a fooling rate, and their fingerprint.

The defaults are those of the paper's study (section 4.1; docs/paper-protocol.md#human-study) where it states them.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

Side = Literal["left", "right"]


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Timing(_Frozen):
    """Time course of a trial in milliseconds; left is always first."""

    blank: PositiveInt = Field(900, description="grey before the left image")
    exposure: PositiveInt = Field(1000, description="each of the two images")
    gap: PositiveInt = Field(600, description="grey between them")
    prompt: PositiveInt = Field(100, description="from the end of the right image to the buttons")
    feedback: PositiveInt = Field(2400, description="both images again with their labels, in practice")

    @property
    def least(self) -> int:
        """Earliest possible answer: milliseconds from left onset to the buttons."""
        return 2 * self.exposure + self.gap + self.prompt


class Rules(_Frozen):
    """Exclusion rules for sessions: fixed before data collection, never based on accuracy."""

    least_valid: float = Field(0.9, ge=0, le=1, description="minimum share of scored trials with an answer")
    frames_off: float = Field(2.0, gt=0, description="frames by which an exposure may deviate from its duration")
    most_off: float = Field(0.1, ge=0, le=1, description="maximum share of exposures that deviate by more")
    least_median_ms: float = Field(250.0, ge=0, description="minimum median response time")
    one_side: float = Field(0.9, gt=0.5, le=1, description="share of answers on one side that excludes a session")


class Protocol(_Frozen):
    """Trials of a study, their timing, and the exclusion rules."""

    question: Literal["fake"] = Field("fake", description="which of the two images is fake?")
    pairing: Literal["paired", "unpaired"] = Field(
        "paired", description="real and fake of one item, or of two different ones (a derangement)"
    )
    raters: PositiveInt = Field(50, description="raters per algorithm; each sees one algorithm")
    practice: NonNegativeInt = Field(10, description="trials with feedback, not scored")
    scored: PositiveInt = Field(40, description="trials without feedback")
    attention: NonNegativeInt = Field(0, description="trials with an obviously broken fake, mixed with the scored ones")
    spares: NonNegativeInt = Field(5, description="pairs that replace voided trials")
    voids: NonNegativeInt = Field(3, description="tolerated interruptions (page hidden, blurred or resized)")
    width: PositiveInt = Field(256, description="CSS pixels")
    height: PositiveInt = Field(256, description="CSS pixels")
    values: tuple[float, float] | None = Field(
        None, description="picture values shown as black and white; None is the full 8 or 16 bits"
    )
    resize: Literal["bicubic"] = Field("bicubic", description="Pillow's, antialiased, to exactly width x height")
    timing: Timing = Timing()
    rules: Rules = Rules()

    @model_validator(mode="after")
    def _even(self) -> Protocol:
        for name in ("practice", "scored"):
            if (count := getattr(self, name)) % 2:
                near = f"{count - 1} or {count + 1}" if count > 1 or name == "practice" else f"{count + 1}"
                expected = f"an even number such as {near}, as half of the trials have the fake on the left"
                raise ValueError(f"{name}: found {count}, expected {expected}")
        return self

    @model_validator(mode="after")
    def _partners(self) -> Protocol:
        if self.pairing == "unpaired" and self.attention + self.spares == 1 and self.practice == 0:
            raise ValueError(
                "found a single trial beside the scored ones, unpaired; expected none or at least two of attention and "
                "spares, or practice: its fake is that of another such trial, else items are not scored equally often"
            )
        return self

    @model_serializer(mode="wrap")
    def _set_alone(self, handler: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave out undeclared `values`, so that older studies keep their fingerprints."""
        settings: dict[str, object] = handler(self)
        return {name: value for name, value in settings.items() if name != "values" or value is not None}

    @property
    def items(self) -> int:
        """Number of items that a session needs, each once."""
        return self.practice + self.scored + self.attention + self.spares

    @property
    def fingerprint(self) -> str:
        """First 12 hexadecimal digits of the settings' SHA-256, as canonical JSON."""
        text = json.dumps(self.model_dump(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]
