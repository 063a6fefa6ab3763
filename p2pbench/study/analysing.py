"""From answers to fooling rates: of a study, or of a CSV."""

from __future__ import annotations

import json
from pathlib import Path

from amt import export, old_batches
from amt.protocol import Protocol
from amt.statistics import table
from amt.statistics.analysis import Analysis, analyse
from p2pbench.study import fooling
from p2pbench.study.looking import look
from p2pbench.study.place import Chosen
from reports import atomic


def analyse_study(results: Path, chosen: Chosen, seed: int, *, peek: bool = False) -> tuple[Analysis, list[str]]:
    """Analyse a study, write what came out beside it, and its fooling rates into the ledger.

    Returns:
        What came out, and a line on each thing that was written.

    Raises:
        AmtError: The study is open and nobody asked to look early, or there are no answers yet.
    """
    study = look(chosen, peek=peek)
    answers = export.answers(chosen.database, study)
    analysis = analyse(answers, study.protocol, seed)
    atomic.write(chosen.folder.analysis, json.dumps(analysis.document(), indent=1).encode() + b"\n")
    atomic.write(chosen.folder.analysis_text, analysis.text().encode() + b"\n")
    notes = [f"analysis: {chosen.folder.analysis_text}"]
    written = fooling.write(results, study, answers, analysis)
    if written:
        notes.append(f"fooling rates of {len(written)} runs written; p2pbench report {results}")
    return analysis, notes


def analyse_file(path: Path, seed: int, practice: int) -> Analysis:
    """Analyse a CSV: an export of answers, or an old AMT batch, whose first `practice` trials are not scored.

    Raises:
        AmtError: It is neither.
    """
    if old_batches.recognises(path):
        return analyse(old_batches.read(path, practice=practice), Protocol(), seed)
    return analyse(table.read(path), Protocol(), seed)
