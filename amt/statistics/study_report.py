"""Reports of an analysis as plain text and JSON."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import BaseModel

from amt.errors import counted
from amt.statistics.analysis import Algorithm, Analysis, Results
from amt.statistics.comparisons import Pair
from amt.statistics.resampling import Estimate

FORMAT = 3  # 2: the learning curve of each algorithm; 3: claims and pairs over raters and items by components
WIDTH = 100
_NAME = 18
_EXTREMES = 5
_CHANCE = {
    "below": "below chance: fakes are recognised",
    "not distinguishable": "not distinguishable from chance",
    "above": "above chance: fakes look more real than real images",
    "no interval": "unknown with a single rater, item or cluster of items",
}
_SIMULATED = "The raters of this study were simulated: programs, not people."
_FOOLED = (
    "fooled: share of trials in which the fake was taken for real, the mean over raters of their mean over trials; "
    "50 % is chance."
)
_CLAIMS = (
    "for claims: over {over}, from their variance components (Wilson's interval with the effective number of "
    "independent answers). It generalises to new raters and items of this kind, not to other trainings of the model: "
    "report this one."
)
_STAGED = (
    "+- and two-stage: the paper's bootstrap of raters, then trials within each, with fixed items. +- is the standard "
    "error, comparable with the paper's figures."
)
_ALIKE = "- under two-stage: all raters gave the same answers, so every draw gives the same rate."
_UNKNOWN = "- under claims: a single rater, item or cluster of items does not show how others vary."
_ITEMS = (
    "items ICC: correlation of two raters' answers on an item, without what both algorithms share, for planning; what "
    "is hard for both cancels in their difference. Plan with the mean over pairs, as that of one pair is imprecise."
)
_CLUSTERED = (
    "`amt plan` ignores clusters: where items of a cluster are alike, the power of its plan is lower than stated."
)
_BEHAVIOUR = (
    "left: share of answers that called the left image fake. learning: percentage points by which 10 trials change the "
    "share correct. response: quartiles over raters of their median. ICC: correlation of answers within raters, for "
    "planning."
)


def text(analysis: Analysis) -> str:
    """Format the text report: rates, comparisons, rater behaviour, items, exclusions."""
    parts = (_head, _rates, _chance, _pairs, _behaviour, _trend, _items, _attention, _exclusions)
    return "\n".join(line.rstrip() for part in parts for line in part(analysis)) + "\n"


def document(analysis: Analysis) -> dict[str, object]:
    """Convert an analysis to JSON at full precision; undefined values are None.

    The fields are those of the classes in `analysis`, with the version of the format and the protocol's fingerprint.
    """
    fields = {field.name: plain(getattr(analysis, field.name)) for field in dataclasses.fields(analysis)}
    return {"format": FORMAT, "fingerprint": analysis.protocol.fingerprint} | fields


def plain(value: object) -> object:
    """Convert a value to JSON types; named tuples and dataclasses become dicts."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: plain(part) for name, part in value._asdict().items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _head(analysis: Analysis) -> Iterator[str]:
    kept, everything = analysis.kept, analysis.everything
    yield from _wrapped(f"Study {analysis.study}: how often fakes were taken for real")
    if analysis.simulated:
        yield _SIMULATED
    yield f"protocol {analysis.protocol.fingerprint}, {analysis.replicates:,} bootstrap draws, seed {analysis.seed}"
    excluded = everything.sessions - kept.sessions
    yield f"{counted(everything.sessions, 'session')}: {kept.sessions:,} count, {excluded:,} excluded"


def _rates(analysis: Analysis) -> Iterator[str]:
    yield from _title("Fooling rates")
    if not analysis.kept.algorithms:
        yield "No session counts; do not report the rates of all sessions."
    yield from _row(
        "algorithm",
        f"{'raters':>6}{'trials':>8}{'fooled':>9}{'+-':>6}"
        f"{'95 % for claims':>19}{'95 % two-stage':>18}{'all sessions':>16}",
    )
    kept = {algorithm.name: algorithm for algorithm in analysis.kept.algorithms}
    for every in analysis.everything.algorithms:
        total = f"{_percent(every.two_stage.value)} +- {_error(every.two_stage)}"
        yield from _row(every.name, _rate(kept.get(every.name)) + f"{total:>16}")
    yield ""
    for note in (_FOOLED, _CLAIMS.format(over=analysis.over), _STAGED):
        yield from _wrapped(note)
    if any(algorithm.claims.known and not algorithm.two_stage.known for algorithm in kept.values()):
        yield from _wrapped(_ALIKE)
    if not all(algorithm.claims.known for algorithm in kept.values()):
        yield from _wrapped(_UNKNOWN)
    if analysis.clusters is not None and analysis.clusters.doubt:
        yield from _wrapped(analysis.clusters.doubt)


def _rate(algorithm: Algorithm | None) -> str:
    if algorithm is None:
        return f"{0:>6}{0:>8}{'':>52}"
    claims, staged = algorithm.claims, algorithm.two_stage
    return (
        f"{len(algorithm.raters):>6,}{algorithm.trials:>8,}{_percent(staged.value):>9}{_error(staged):>6}"
        f"{_percents(claims):>19}{_percents(staged):>18}"
    )


def _chance(analysis: Analysis) -> Iterator[str]:
    yield from _title("Against chance (95 % for claims)")
    for algorithm in analysis.kept.algorithms:
        sensitivity = algorithm.sensitivity
        ends = f"{sensitivity.low:.2f} to {sensitivity.high:.2f}" if algorithm.claims.known else "-"
        dprime = f"d' {sensitivity.value:.2f} ({ends})"
        yield from _row(algorithm.name, f"{dprime:<28}{_CHANCE[algorithm.chance]}")


def _pairs(analysis: Analysis) -> Iterator[str]:
    pairs = analysis.kept.pairs
    if not pairs:
        return
    count = f"{len(pairs)} pairs, p adjusted for all of them" if len(pairs) > 1 else "one pair"
    yield from _title(f"Differences in percentage points, for claims ({count})")
    yield from _row(
        "first", f"{'second':<{_NAME}}{'difference':>12}{'95 %':>18}{'p':>8}{'adjusted':>10}{'items ICC':>11}"
    )
    for pair in pairs:
        yield from _pair(pair)
    if len(pairs) > 1:
        yield from _wrapped("Intervals are of each pair alone; two rates differ where the adjusted p is below 0.05.")
    yield from _wrapped(_ITEMS)
    if analysis.clusters is not None:
        yield from _wrapped(_CLUSTERED)


def _pair(pair: Pair) -> Iterator[str]:
    rest = f"{100 * pair.difference.value:>+12.1f}{_points(pair.difference):>18}{_p(pair.p):>8}{_p(pair.adjusted):>10}"
    rest += f"{'-' if math.isnan(pair.items_icc) else f'{pair.items_icc:.3f}':>11}"
    if max(len(pair.first), len(pair.second)) < _NAME:
        yield f"{pair.first:<{_NAME}}{pair.second:<{_NAME}}{rest}"
    else:
        yield from _wrapped(f"{pair.first} - {pair.second}")
        yield f"{'':<{2 * _NAME}}{rest}"


def _behaviour(analysis: Analysis) -> Iterator[str]:
    if not analysis.kept.algorithms:
        return
    yield from _title("How raters answered")
    yield from _row("algorithm", f"{'left, 95 %':>24}{'learning, 95 %':>24}{'response, quartiles':>24}{'ICC':>8}")
    for algorithm in analysis.kept.algorithms:
        left, slope, times = algorithm.left, algorithm.learning, algorithm.response
        sides = f"{_percent(left.value)}, {_percents(left)}"
        ends = f"{slope.low:+.1f} to {slope.high:+.1f}" if slope is not None and slope.known else "-"
        learnt = "unknown" if slope is None else f"{slope.value:+.1f}, {ends}"
        took = "unmeasured" if times is None else f"{times.low:.0f}-{times.median:.0f}-{times.high:.0f} ms"
        icc = "" if algorithm.intraclass is None else f"{algorithm.intraclass:.3f}"
        yield from _row(algorithm.name, f"{sides:>24}{learnt:>24}{took:>24}{icc:>8}")
    yield from _wrapped(_BEHAVIOUR)
    for algorithm in analysis.kept.algorithms:
        timing = algorithm.exposures
        if timing is not None:
            yield from _wrapped(
                f"{algorithm.name}: {100 * timing.within_a_frame:.2f} % of {timing.measured:,} exposures were within "
                f"one frame of their duration; {100 * timing.off:.2f} % were off by more than "
                f"{analysis.protocol.rules.frames_off:g}."
            )


def _trend(analysis: Analysis) -> Iterator[str]:
    trends = [(algorithm.name, algorithm.curve.halves) for algorithm in analysis.kept.algorithms]
    if not any(halves for _, halves in trends):
        return
    yield from _title("Do raters improve? (share correct in each half of the scored trials, paired over raters)")
    yield from _row("algorithm", f"{'raters':>6}{'first half':>13}{'second half':>14}{'change':>9}{'95 %':>18}")
    for name, halves in trends:
        if halves is None:
            yield from _row(name, f"{0:>6}")
            continue
        interval = "undefined"
        if halves.low is not None and halves.high is not None:
            interval = f"{100 * halves.low:+.1f} to {100 * halves.high:+.1f}"
        yield from _row(
            name,
            f"{halves.raters:>6,}{_percent(halves.first):>13}{_percent(halves.second):>14}"
            f"{100 * halves.change:>+9.1f}{interval:>18}",
        )


def _items(analysis: Analysis) -> Iterator[str]:
    if not analysis.kept.algorithms:
        return
    yield from _title("Items whose fakes fooled most, and least (fooled of shown)")
    for algorithm in analysis.kept.algorithms:
        ranked = sorted(algorithm.items, key=lambda item: (-item.rate, -item.trials, item.item))
        named = [f"{item.item} ({item.fooled} of {item.trials})" for item in ranked]
        yield from _wrapped(f"{algorithm.name}, most: {', '.join(named[:_EXTREMES])}")
        if len(named) > _EXTREMES:
            yield from _wrapped(f"{algorithm.name}, least: {', '.join(named[_EXTREMES:][-_EXTREMES:][::-1])}")


def _attention(analysis: Analysis) -> Iterator[str]:
    if not analysis.everything.attention.trials:
        return
    yield from _title("Attention checks (not in any rate, not a reason for exclusion)")
    yield f"sessions that count: {_passed(analysis.kept)}; all sessions: {_passed(analysis.everything)}"


def _passed(results: Results) -> str:
    checks = results.attention
    share = f" ({_percent(checks.passed / checks.trials)})" if checks.trials else ""
    return f"{checks.passed:,} of {checks.trials:,} passed{share}"


def _exclusions(analysis: Analysis) -> Iterator[str]:
    left_out = analysis.exclusions
    yield from _title("Excluded sessions (by the protocol's rules, never by accuracy)")
    counts = Counter(reason.rule for session in left_out.excluded for reason in session.reasons)
    yield ", ".join(f"{rule}: {count}" for rule, count in counts.most_common()) or "None."
    for session in left_out.excluded:
        reasons = " ".join(reason.sentence for reason in session.reasons)
        yield from _wrapped(f"{session.session} ({', '.join(session.algorithms)}): {reasons}")
    for note in left_out.notes:
        yield from _wrapped(note)


def _title(title: str) -> Sequence[str]:
    return ["", title, "-" * len(title)]


def _row(name: str, rest: str) -> Sequence[str]:
    """Format a row; a long name gets its own line."""
    if len(name) < _NAME:
        return [f"{name:<{_NAME}}{rest}"]
    return [*_wrapped(name), f"{'':<{_NAME}}{rest}"]


def _wrapped(paragraph: str) -> list[str]:
    return textwrap.wrap(paragraph, WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _error(estimate: Estimate) -> str:
    return f"{100 * estimate.error:.1f}" if estimate.known else "-"


def _percents(estimate: Estimate) -> str:
    if not estimate.known:
        return "-"
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f} %"


def _points(difference: Estimate) -> str:
    if not difference.known:
        return "-"
    return f"{100 * difference.low:+.1f} to {100 * difference.high:+.1f}"


def _p(p: float) -> str:
    if math.isnan(p):
        return "-"
    return "<0.001" if p < 0.001 else f"{p:.3f}"
