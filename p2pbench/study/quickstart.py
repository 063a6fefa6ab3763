"""The small study at the end of quickstart: its raters are programs, and its numbers invented."""

from __future__ import annotations

import time
from pathlib import Path

from amt.create import Plan, create
from amt.protocol import Protocol
from amt.store import counts, looks, studies
from p2pbench.ablation.listener import Listener
from p2pbench.study.analysing import analyse_study
from p2pbench.study.cells import from_results
from p2pbench.study.place import choose, new_studies
from p2pbench.study.rehearsing import crowd, rehearse_study

NAME = "simulated"
PROTOCOL = Protocol(raters=10, practice=4, scored=20)
# Percent of trials in which a simulated rater takes a fake for real. Nobody has looked at the images.
INVENTED = {"L1": 4.0, "GAN": 3.0, "cGAN": 10.0, "L1+GAN": 17.0, "L1+cGAN": 19.0}


def hold_study(results: Path, grid: str, listener: Listener) -> None:
    """Make a study of a grid unless there is one, let programs take part in it, and put its rates into the ledger.

    Stopped, it goes on when it is called again, with the same raters.

    Raises:
        AmtError: A study of that name is there that people take part in, or its server does not start.
    """
    with new_studies(results, None) as opened:
        with opened.database.reading() as connection:
            there = NAME in studies.names(connection)
        if not there:
            material = from_results(results, grid, None, allow_partial=False)
            protocol = PROTOCOL.model_copy(update={"values": material.values})
            title = "Which image is fake?"
            plan = Plan(
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
        if tally.done < tally.places:
            listener.say(f"a study with {tally.places} simulated raters (programs, not people)")
            rates = {cell: rate / 100 for cell, rate in INVENTED.items()}
            rehearse_study(opened, chosen, crowd(chosen.study, {}), rates, seed=0)
        with opened.database.writing() as connection:
            looks.close(connection, chosen.study)
        analyse_study(results, choose(opened, NAME), seed=0)
