"""Studies with simulated raters."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from amt.errors import AmtError
from amt.protocol import Protocol
from amt.simulation.crowd import KINDS, Crowd, Kind, SimulationRecord
from amt.simulation.simulate import rehearse
from amt.store import counts, reveals, studies
from amt.store.create import StudyPlan, create
from amt.store.studies import Study
from p2pbench.runtime.progress import ProgressReporter
from p2pbench.study.new_study import from_results
from p2pbench.study.results import analyse_study
from p2pbench.study.study_access import Chosen, Opened, choose, new_studies
from reports.store.names import counted

NAME = "simulated"
PROTOCOL = Protocol(raters=10, practice=4, scored=20)
# Percent of trials in which a simulated rater takes a fake for real. Made up: programs do not look at the images.
INVENTED = {"L1": 4.0, "GAN": 3.0, "cGAN": 10.0, "L1+GAN": 17.0, "L1+cGAN": 19.0}

_DEFAULT_RATE = 0.2
_REASONS = {
    "finished": "they have finished this study before; create another with `amt create --simulated`",
    "full": "all slots are taken; create another study with `amt create --simulated`",
}


def rates(study: Study, given: Mapping[str, str]) -> dict[str, float]:
    """Fooling rate of each algorithm (0 to 1) from percentages by name.

    Default 20 %.

    Raises:
        AmtError: An algorithm is unknown, or a rate is no percentage.
    """
    unknown = sorted(given.keys() - set(study.algorithms))
    if unknown:
        raise AmtError(f"--fooling {unknown[0]}: expected one of {', '.join(study.algorithms)}; change it")
    fooling = dict.fromkeys(study.algorithms, _DEFAULT_RATE)
    for name, text in given.items():
        try:
            fooling[name] = float(text) / 100
        except ValueError:
            fooling[name] = -1.0
        if not 0 <= fooling[name] <= 1:
            raise AmtError(f"--fooling {name}={text}: expected a percentage, 0 to 100; change it")
    return fooling


def crowd(study: Study, given: Mapping[str, str]) -> dict[Kind, int]:
    """Number of raters of each kind.

    By default one careful rater per slot.

    Raises:
        AmtError: A kind is unknown, or a count is not a number.
    """
    if not given:
        return {"careful": len(study.algorithms) * study.protocol.raters}
    counts: dict[Kind, int] = {}
    for kind in KINDS:
        if kind in given:
            if not given[kind].isdecimal():
                raise AmtError(f"--raters {kind}={given[kind]}: expected a count; change it")
            counts[kind] = int(given[kind])
    unknown = sorted(given.keys() - set(KINDS))
    if unknown:
        raise AmtError(f"--raters {unknown[0]}: expected one of {', '.join(KINDS)}; change it")
    return counts


def rehearse_study(
    opened: Opened, chosen: Chosen, raters: Mapping[Kind, int], fooling: Mapping[str, float], seed: int
) -> SimulationRecord:
    """Run simulated raters through a study, on a server of its own.

    Raises:
        AmtError: As `rehearse`; or no rater could take part.
    """
    # The server is the real one, in a process of its own: a rehearsal also tests database, sessions and pages.
    name = chosen.study.name
    if chosen.study.state == "closed":
        raise AmtError(f"{name}: is closed, expected an open study; create another with `amt create --simulated`")
    outcome = rehearse(opened.folder, opened.where, chosen.database, name, Crowd(raters, fooling, seed))
    if sum(raters.values()) and not outcome.endings.keys() - {
        (kind, end) for kind in KINDS for end in ("full", "failed")
    }:
        words = sorted({word for _, _, word in outcome.refusals})
        why = _REASONS.get(words[0] if len(words) == 1 else "", f"the server answered {', '.join(words) or 'nothing'}")
        raise AmtError(f"{name}: none of {counted(sum(raters.values()), 'simulated rater')} could take part: {why}")
    return outcome


def hold_study(results: Path, grid: str, reporter: ProgressReporter) -> None:
    """Create a study, run simulated raters through it, write scores.

    An interrupted call is resumed by the next, with the same raters.

    Raises:
        AmtError: A study of that name exists that people take part in, or its server does not start.
    """
    with new_studies(results, None) as opened:
        with opened.database.reading() as connection:
            there = NAME in studies.names(connection)
        if not there:
            material = from_results(results, grid, None, allow_partial=False)
            protocol = PROTOCOL.model_copy(update={"values": material.values})
            title = "Which image is fake?"
            plan = StudyPlan(
                NAME,
                title,
                material.sources,
                material.origin,
                protocol=protocol,
                simulated=True,
                clusters=material.clusters,
            )
            create(opened.database, opened.folder, plan)
        chosen = choose(opened, NAME)
        with opened.database.reading() as connection:
            tally = counts.total(counts.tallies(connection, chosen.study.id, time.time()))
        if tally.done < tally.slots:
            reporter.say(f"a study with {tally.slots} simulated raters (programs, not people)")
            rates = {cell: rate / 100 for cell, rate in INVENTED.items()}
            rehearse_study(opened, chosen, crowd(chosen.study, {}), rates, seed=0)
        with opened.database.writing() as connection:
            reveals.close(connection, chosen.study)
        analyse_study(results, choose(opened, NAME), seed=0)
