"""What raters' requests may hold; anything else is refused before it is looked at."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from amt.protocol import Side
from amt.recruitment import Source
from amt.store.trials import Interruption

Milliseconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


Number = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]


Word = Annotated[str, Field(max_length=200)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Start(_Body):
    """Who comes, and by which way; `platform` is read by nobody and not kept."""

    rater: Annotated[str, Field(min_length=1, max_length=128)]
    rater_source: Source
    platform: dict[str, JsonValue] | None = None


class Environment(_Body):
    """What the page found out about display and browser."""

    eligible: bool
    reasons: Annotated[list[Word], Field(max_length=10)] = []
    viewport: tuple[Number, Number]
    screen: tuple[Number, Number]
    pixel_ratio: Number
    hertz: Number
    frame_ms: Number
    touch: bool
    language: Annotated[str, Field(max_length=40)]


class Consent(_Body):
    """Whether the rater agrees, and to which text."""

    version: Annotated[str, Field(max_length=40)]
    agreed: bool


class Void(_Body):
    """Why the images of a trial could not be seen."""

    reason: Interruption


class Exposure(_Body):
    """One image on the display, by the page's clock."""

    on: Milliseconds
    off: Milliseconds
    frames: Annotated[int, Field(ge=0, le=1_000_000)]
    gap: Milliseconds


class Exposures(_Body):
    """Both images of a trial."""

    left: Exposure
    right: Exposure


class Response(_Body):
    """The side that the rater took for the fake, and what the page measured."""

    choice: Side
    response_ms: Milliseconds
    frame_ms: Number
    hertz: Number
    exposures: Exposures

    def measured(self) -> dict[str, Any]:
        """All but choice and response time."""
        return self.model_dump(exclude={"choice", "response_ms"})


class Comment(_Body):
    """What the rater says of the study."""

    text: Annotated[str, Field(max_length=2000)]
