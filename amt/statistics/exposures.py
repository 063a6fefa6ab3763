"""How long images really were on screen, against the protocol."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from amt.protocol import Protocol


class Exposures(NamedTuple):
    """Timing quality.

    Attributes:
        measured: How many exposures were measured; two a trial.
        within_a_frame: Share of them, 0 to 1, that lasted as long as the protocol says, to within one frame.
        off: Share that missed it by more frames than the protocol's rules put up with.
    """

    measured: int
    within_a_frame: float
    off: float


def quality(answers: pd.DataFrame, protocol: Protocol) -> Exposures | None:
    """Timing quality of some trials; None where nothing was measured.

    Args:
        answers: Trials, with columns left_ms, right_ms and frame_ms, any of them missing.
        protocol: Says how long an exposure lasts, and which are off.
    """
    missed = frames_missed(answers, protocol)
    known = missed[~np.isnan(missed)]
    if not known.size:
        return None
    off = float((known > protocol.rules.frames_off).mean())
    return Exposures(known.size, float((known <= 1).mean()), off)


def frames_missed(answers: pd.DataFrame, protocol: Protocol) -> NDArray[np.float64]:
    """By how many frames of the rater's display each exposure was too long or too short (trials, 2); NaN unmeasured.

    Whole frames: a display shows nothing shorter, and time stamps jitter by a tenth of a millisecond.
    """
    exposures = answers[["left_ms", "right_ms"]].to_numpy(float)
    frame = answers["frame_ms"].to_numpy(float)[:, None]
    missed: NDArray[np.float64] = np.rint(np.abs(exposures - protocol.timing.exposure) / frame)
    return missed
