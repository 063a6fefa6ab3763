"""Real display times of the study's page, in whole sessions at full timing.

    python benchmarks/study_page.py [--throttle 4] [--sessions keyboard mouse throttled] [--json FILE]

Each session is 10 practice and 40 scored trials of the paper's timing, in headless Chromium against a real server: one
answered by the keyboard, one by the mouse, and one on a processor that is slowed down by `--throttle` from the first
trial on. A rater takes 0.25 to 0.9 s to answer. Everything is read from what the server has stored, so late exposures
are those that an analysis would see. Four and a half minutes a session.
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from record import Record, options

import numpy as np
from numpy.typing import ArrayLike

sys.path.insert(0, str(Path(__file__).parent.parent))  # the rater in the browser is among the tests

from playwright.sync_api import Browser, sync_playwright  # noqa: E402

from amt.protocol import Protocol  # noqa: E402
from tests.amt.page_driver import Rater, Studio, Trial, launch, serving  # noqa: E402

SIZE = {"width": 1280, "height": 720}
PROTOCOL = Protocol(raters=1)
SHARES = (0, 1, 5, 25, 50, 75, 95, 99, 100)


def by_keyboard(rater: Rater, left: bool) -> None:
    """Answer with a key."""
    rater.page.keyboard.press("f" if left else "j")


def by_mouse(rater: Rater, left: bool) -> None:
    """Answer with a click."""
    rater.press("Left" if left else "Right")


def session(studio: Studio, browser: Browser, answer: Callable[[Rater, bool], None], throttle: float) -> list[Trial]:
    """Go through one session. Returns the trials that were answered."""
    rng = np.random.default_rng(0)
    study = studio.study(PROTOCOL)
    context = browser.new_context(viewport=SIZE)  # type: ignore[arg-type]
    rater = Rater(context.new_page(), studio.url)
    rater.starts(study)
    if throttle > 1:
        context.new_cdp_session(rater.page).send("Emulation.setCPUThrottlingRate", {"rate": throttle})
    for number in range(PROTOCOL.practice + PROTOCOL.scored):
        if number == PROTOCOL.practice:
            rater.press("Start")
        rater.sees("prompt")
        rater.page.wait_for_timeout(rng.uniform(250, 900))
        answer(rater, bool(rng.integers(2)))
        rater.page.wait_for_function("() => document.querySelector('#stage').dataset.phase !== 'prompt'")
    rater.press("Finish")
    rater.reads("Thank you!")
    context.close()
    assert rater.complaints == [], rater.complaints
    return [trial for trial in studio.trials(study) if trial.choice]


def measured(trials: list[Trial]) -> dict[str, Any]:
    """Problems of a session's timing."""
    logs = [trial.measured for trial in trials if trial.measured]
    exposures = [log["exposures"][side] for log in logs for side in ("left", "right")]
    frame = logs[0]["frame_ms"]
    shown = np.array([exposure["off"] - exposure["on"] for exposure in exposures])
    off = np.abs(shown - PROTOCOL.timing.exposure)
    gaps = np.array([exposure["gap"] for exposure in exposures])
    between = [log["exposures"]["right"]["on"] - log["exposures"]["left"]["off"] for log in logs]
    scored = [trial for trial in trials if trial.phase == "scored"]
    blanks = [_blank(before, after) for before, after in pairwise(scored)]
    return {
        "answered": len(trials),
        "hertz": logs[0]["hertz"],
        "exposures": len(shown),
        "share_within_one_frame": float((off <= frame).mean()),
        "share_within_two_frames": float((off <= 2 * frame).mean()),
        "off_by_more_in_the_server's_data": int((off > PROTOCOL.rules.frames_off * frame).sum()),
        "with_a_gap_of_over_two_frames": int((gaps > 2 * frame).sum()),
        **_spread("shown", shown, SHARES),
        "frames": dict(sorted(Counter(str(exposure["frames"]) for exposure in exposures).items())),
        **_spread("longest_gap", gaps, SHARES),
        **_spread("between_left_and_right", between, (0, 50, 100)),
        **_spread("from_answer_to_next_image", blanks, (0, 50, 100)),
    }


def _spread(name: str, milliseconds: ArrayLike, shares: Sequence[int]) -> dict[str, float]:
    found = np.percentile(np.asarray(milliseconds, float), shares)
    return {f"{name}_p{share}_milliseconds": float(value) for share, value in zip(shares, found, strict=True)}


def _blank(before: Trial, after: Trial) -> float:
    """From an answer to the next onset, if the prompt came exactly when it should."""
    assert before.measured is not None
    assert before.response_ms is not None
    assert after.measured is not None
    answered = before.measured["exposures"]["right"]["off"] + PROTOCOL.timing.prompt + before.response_ms
    return float(after.measured["exposures"]["left"]["on"] - answered)


def main() -> None:
    """Run and print."""
    parser = options(__doc__)
    parser.add_argument("--throttle", type=float, default=4)
    parser.add_argument("--sessions", nargs="+", default=["keyboard", "mouse", "throttled"])
    arguments = parser.parse_args()
    kinds: dict[str, tuple[Callable[[Rater, bool], None], float]] = {
        "keyboard": (by_keyboard, 1),
        "mouse": (by_mouse, 1),
        "throttled": (by_keyboard, arguments.throttle),
    }
    record = Record("study_page", arguments)
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as studio, sync_playwright() as playwright:
        browser = launch(playwright)
        version = browser.version
        for name in arguments.sessions:
            answer, throttle = kinds[name]
            print(f"{name}, processor slowed down {throttle:g} times", flush=True)
            found[name] = measured(session(studio, browser, answer, throttle))
        browser.close()
    whats = list(next(iter(found.values())))
    rows = [{"what": what, **{name: values[what] for name, values in found.items()}} for what in whats]
    record.table(f"Sessions in headless Chromium {version}; throttled: {arguments.throttle:g} times slower", rows)
    record.save()


if __name__ == "__main__":
    main()
