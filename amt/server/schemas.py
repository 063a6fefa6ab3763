"""Request bodies of the raters' API; anything else is refused."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from amt.protocol import Side
from amt.recruitment import Source
from amt.store.trials import Interruption

Milliseconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Number = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Word = Annotated[str, Field(max_length=200)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StartRequest(_Request):
    """Rater's id and way of recruitment; `platform` is neither read nor stored."""

    rater: Annotated[str, Field(min_length=1, max_length=128)]
    rater_source: Source
    platform: dict[str, JsonValue] | None = None


class EnvironmentRequest(_Request):
    """Facts on display and browser, from the page."""

    eligible: bool
    reasons: Annotated[list[Word], Field(max_length=10)] = []
    viewport: tuple[Number, Number]
    screen: tuple[Number, Number]
    pixel_ratio: Number
    hertz: Number
    frame_ms: Number
    touch: bool
    language: Annotated[str, Field(max_length=40)]


class ConsentRequest(_Request):
    """Consent or its refusal, with the version of the text."""

    version: Annotated[str, Field(max_length=40)]
    agreed: bool


class VoidRequest(_Request):
    """Interruption of a trial."""

    reason: Interruption


class ImageExposure(_Request):
    """Exposure of one image, by the page's clock."""

    on: Milliseconds
    off: Milliseconds
    frames: Annotated[int, Field(ge=0, le=1_000_000)]
    gap: Milliseconds


class TrialExposures(_Request):
    """Exposures of a trial's two images."""

    left: ImageExposure
    right: ImageExposure


class AnswerRequest(_Request):
    """Answer to a trial, with the page's measurements."""

    choice: Side
    response_ms: Milliseconds
    frame_ms: Number
    hertz: Number
    exposures: TrialExposures

    def measured(self) -> dict[str, Any]:
        """Measurements: all fields but choice and response time."""
        return self.model_dump(exclude={"choice", "response_ms"})


class CommentRequest(_Request):
    """Rater's comment on the study."""

    text: Annotated[str, Field(max_length=2000)]
