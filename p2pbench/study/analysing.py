"""From answers to fooling rates: of a study, or of a CSV."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import pandas as pd
from pydantic import BaseModel

from amt import export, old_batches
from amt.protocol import Protocol
from amt.statistics import cells, table
from amt.statistics.analysis import Analysis, analyse
from amt.store.studies import Study
from p2pbench.study import fooling
from p2pbench.study.looking import look
from p2pbench.study.place import Chosen
from reports import json_files, made
from reports.names import counted, typed

_BEGINNING = b'{\n "title": '  # of analysis.json
_BEGINNINGS = b"Study ", b"The raters of this study were", b"This study was looked at"  # of analysis.txt
_WORKER = "WorkerId"  # a column of every results CSV of Mechanical Turk


def analyse_study(results: Path, chosen: Chosen, seed: int, *, peek: bool = False) -> tuple[Analysis, list[str]]:
    """Analyse a study, write what came out beside it, and its fooling rates into the ledger.

    Returns:
        What came out, and a line on each thing that was written.

    Raises:
        AmtError: The study is open and nobody asked to look early, or there are no answers yet.
        ReportError: Another's file is where the analysis goes, or the analysis there was changed by hand.
    """
    study = look(chosen, peek=peek)
    answers = export.answers(chosen.database, study)
    analysis = analyse(answers, study.protocol, seed)
    remarks = []
    if study.revealed is not None:
        remarks.append("This study was looked at before it was closed.")
    document = _about(study) | analysis.document()
    made.check_free(chosen.folder.analysis_text, _BEGINNINGS)
    made.put(chosen.folder.analysis, json.dumps(document, indent=1).encode() + b"\n", _BEGINNING)
    made.put(chosen.folder.analysis_text, "\n".join([*remarks, analysis.text(), ""]).encode(), _BEGINNINGS)
    notes = [*remarks, f"analysis: {chosen.folder.analysis_text}"]
    written = fooling.write(results, study, answers, analysis)
    if written:
        notes.append(f"fooling rates of {counted(len(written), 'run')} written; p2pbench report {typed(results)}")
    return analysis, notes


def analyse_file(path: Path, seed: int, practice: int) -> Analysis:
    """Analyse a CSV: an export of answers, or an old AMT batch, whose first `practice` trials are not scored.

    The rules are those of the study.json beside an export; without one the defaults, for as many trials as there are.

    Raises:
        AmtError: It is neither, or the study.json is damaged.
    """
    if is_old_batch(path):
        # A key that nobody keeps: nothing leads from the pseudonyms of this analysis back to workers.
        answers = old_batches.read(path, secrets.token_bytes(32), practice=practice)
    else:
        answers = table.read(path)
    return analyse(answers, _protocol(path.with_name("study.json"), answers), seed)


def is_old_batch(path: Path) -> bool:
    """Whether a CSV is of Mechanical Turk. Raises AmtError where it cannot be read."""
    header, _ = cells.read(path)
    return _WORKER in header


def _about(study: Study) -> dict[str, object]:
    """What a reader of the results must know of the study itself."""
    return {
        "title": study.title,
        "looked_at_early": study.revealed is not None,
        "origin": dict(study.origin),
    }


class _Described(BaseModel):
    """study.json, as far as an analysis needs it."""

    protocol: Protocol


def _protocol(description: Path, answers: pd.DataFrame) -> Protocol:
    if description.is_file():
        return json_files.read(description, _Described, "restore it, or move the CSV away from it").protocol
    scored = answers[(answers["phase"] == "scored") & answers["void"].isna()]
    most = int(scored.groupby("session").size().max()) if len(scored) else 0
    return Protocol(scored=max(2, most - most % 2))
