"""Studies whose raters are programs: how well their fakes are to do, and how many of whom take part."""

from __future__ import annotations

from collections.abc import Mapping

from amt.errors import AmtError
from amt.simulation.outcome import Outcome
from amt.simulation.raters import KINDS, Kind
from amt.simulation.rehearsal import rehearse
from amt.store.studies import Study
from p2pbench.study.place import Chosen, Opened
from reports.names import counted

_DEFAULT_RATE = 0.2
_REASONS = {
    "finished": "they have finished this study before; create another with `amt create --simulated`",
    "full": "all places are taken; create another study with `amt create --simulated`",
}


def rates(study: Study, given: Mapping[str, str]) -> dict[str, float]:
    """The wanted fooling rate of each algorithm, 0 to 1, from percents by name; 20 % where none is given.

    Raises:
        AmtError: An algorithm is unknown, or a rate is no percentage.
    """
    unknown = sorted(given.keys() - set(study.algorithms))
    if unknown:
        raise AmtError(f"--fooling {unknown[0]}: expected one of {', '.join(study.algorithms)}; change it")
    found = dict.fromkeys(study.algorithms, _DEFAULT_RATE)
    for name, text in given.items():
        try:
            found[name] = float(text) / 100
        except ValueError:
            found[name] = -1.0
        if not 0 <= found[name] <= 1:
            raise AmtError(f"--fooling {name}={text}: expected a percentage, 0 to 100; change it")
    return found


def crowd(study: Study, given: Mapping[str, str]) -> dict[Kind, int]:
    """How many raters of each kind; as many careful ones as there are places where nothing is given.

    Raises:
        AmtError: A kind is unknown, or a count is none.
    """
    if not given:
        return {"careful": len(study.algorithms) * study.protocol.raters}
    found: dict[Kind, int] = {}
    for kind in KINDS:
        if kind in given:
            if not given[kind].isdecimal():
                raise AmtError(f"--raters {kind}={given[kind]}: expected a count; change it")
            found[kind] = int(given[kind])
    unknown = sorted(given.keys() - set(KINDS))
    if unknown:
        raise AmtError(f"--raters {unknown[0]}: expected one of {', '.join(KINDS)}; change it")
    return found


def rehearse_study(
    opened: Opened, chosen: Chosen, raters: Mapping[Kind, int], fooling: Mapping[str, float], seed: int
) -> Outcome:
    """Let raters take part in a study over a server of its own.

    Raises:
        AmtError: As `rehearse`; or no rater could take part.
    """
    name = chosen.study.name
    if chosen.study.state == "closed":
        raise AmtError(f"{name}: is closed, expected an open study; create another with `amt create --simulated`")
    outcome = rehearse(opened.folder, opened.where, chosen.database, chosen.study, raters, fooling, seed)
    if sum(raters.values()) and not outcome.endings.keys() - {
        (kind, end) for kind in KINDS for end in ("full", "failed")
    }:
        words = sorted({word for _, _, word in outcome.refusals})
        why = _REASONS.get(words[0] if len(words) == 1 else "", f"the server answered {', '.join(words) or 'nothing'}")
        raise AmtError(f"{name}: none of {counted(sum(raters.values()), 'simulated rater')} could take part: {why}")
    return outcome
