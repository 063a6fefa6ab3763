"""Creation of a study with pictures and schedules, all or nothing."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection, insert
from sqlalchemy.exc import IntegrityError

from amt import design, study_pictures
from amt.design import PlannedTrial
from amt.errors import AmtError, counted
from amt.folders import Studies, StudyFolder
from amt.protocol import Protocol
from amt.recruitment import Consent, Recruitment
from amt.store import schema, studies
from amt.store.database import Database
from amt.store.studies import Picture, Study, StudyClusters
from amt.study_pictures import Sources

_Progress = Callable[[int, int], None]


class StudyPlan(NamedTuple):
    """Settings and pictures of a study to create.

    Attributes:
        name: Its name in links: a-z, 0-9 and -.
        title: Heading for raters.
        sources: Its pictures.
        origin: Origin of the pictures in words, by algorithm and "real".
        protocol: Trials and exclusion rules.
        seed: Seed of every schedule.
        consent: Consent text.
        recruitment: Recruitment of raters.
        simulated: Whether its raters will be programs.
        clusters: Items that vary together; None where each stands alone, or this is unknown.
    """

    name: str
    title: str
    sources: Sources
    origin: Mapping[str, str]
    protocol: Protocol = Protocol()
    seed: int = 0
    consent: Consent = Consent()
    recruitment: Recruitment = Recruitment()
    simulated: bool = False
    clusters: StudyClusters | None = None


def create(
    database: Database, folder: Studies, plan: StudyPlan, progress: _Progress = lambda done, total: None
) -> Study:
    """Create a study.

    Its files are built in a folder beside its own, which is renamed just before the database commits. A killed process
    leaves that folder, which the next creation under this name replaces; or, between the two, the study's own folder,
    which the next creation refuses to overwrite.

    Args:
        database: The database to add it to.
        folder: The folder for its pictures.
        plan: Its settings and pictures.
        progress: Called with the number of pictures done and their total.

    Raises:
        AmtError: The name is invalid or in use, there are too few items, or a picture cannot be read.
    """
    target, building = folder.study(plan.name), folder.unfinished(plan.name)
    items = plan.sources.items
    if len(items) < plan.protocol.items:
        need = plan.protocol
        raise AmtError(
            f"{plan.name}: found {counted(len(items), 'item')}, expected at least {need.items}, since no item comes "
            f"twice in a session ({need.practice} practice + {need.scored} scored + {need.attention} attention + "
            f"{need.spares} spare); add items, or ask for fewer trials"
        )
    # Inside the transaction, so that a second creation of this name waits for this one, and then fails on the name.
    # It commits after the folder is in place, and the folder is removed where it does not.
    with ExitStack() as undo, database.writing() as connection:
        # The unique name is inserted first: it fails for a name in use before any picture is encoded.
        number = _add_study(connection, plan)
        # A folder without a study in this database: of another database, or left by a process killed before its commit.
        if target.folder.exists():
            raise AmtError(f"{target.folder}: found a folder there, expected none; give another name, or move it away")
        files = _files(plan)
        numbers = _add_pictures(connection, number, list(files))
        _add_slots(connection, number, _schedules(plan, numbers))
        study = studies.get(connection, number)
        undo.push(lambda kind, *_: shutil.rmtree(building.folder, ignore_errors=True) if kind else None)
        shutil.rmtree(building.folder, ignore_errors=True)
        _write_pictures(building, plan, {numbers[picture]: picture for picture in files}, files, progress)
        building.description.touch(0o600 if plan.recruitment.codes else 0o666)  # codes entitle to payment
        building.description.write_text(describe(study, database.kind), "utf-8")
        # Contents before the name: after a power loss a renamed folder must not hold empty files.
        _flush(*building.pictures.iterdir(), building.pictures, building.description, building.folder)
        building.folder.rename(target.folder)
        _flush(folder.folder)
        undo.push(lambda kind, *_: shutil.rmtree(target.folder, ignore_errors=True) if kind else None)
    return study


def describe(study: Study, kind: str) -> str:
    """Describe a study as JSON, without the key of its pseudonyms."""
    document = {
        "name": study.name,
        "title": study.title,
        "fingerprint": study.protocol.fingerprint,
        "protocol": study.protocol.model_dump(),
        "seed": study.seed,
        "simulated": study.simulated,
        "algorithms": study.algorithms,
        "origin": study.origin,
        "recruitment": study.recruitment.model_dump(),
        "consent": {"version": study.consent.version, **study.consent.model_dump()},
        "database": kind,
        "items": study.items,
        "clusters": None if study.clusters is None else asdict(study.clusters),
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _add_study(connection: Connection, plan: StudyPlan) -> int:
    """Add a study without pictures and slots, and return its number."""
    row = {
        "name": plan.name,
        "title": plan.title,
        "created": time.time(),
        "state": "open",
        "simulated": plan.simulated,
        "protocol": plan.protocol.model_dump_json(),
        "fingerprint": plan.protocol.fingerprint,
        # The key of pseudonyms is random, unlike the schedules: the seed is published with the protocol.
        "seed": plan.seed,
        "key": secrets.token_hex(32),
        "items": json.dumps(plan.sources.items),
        "algorithms": json.dumps(list(plan.sources.fakes)),
        "origin": json.dumps(dict(plan.origin)),
        "consent": plan.consent.model_dump_json(),
        "recruitment": plan.recruitment.model_dump_json(),
    }
    try:
        number = int(connection.execute(insert(schema.studies).returning(schema.studies.c.id), row).scalar_one())
    except IntegrityError:
        raise AmtError(f"{plan.name}: found a study of that name, expected a new one; give another name") from None
    if plan.clusters is not None:
        studies.store_clusters(connection, number, plan.clusters)
    return number


def _files(plan: StudyPlan) -> dict[Picture, Path]:
    """Source files of the study's pictures."""
    kinds = ["fake", "broken"] if plan.protocol.attention else ["fake"]
    real = {Picture("real", None, item): path for item, path in plan.sources.real.items()}
    return real | {
        Picture(kind, algorithm, item): path
        for algorithm, files in plan.sources.fakes.items()
        for kind in kinds
        for item, path in files.items()
    }


def _add_pictures(connection: Connection, study: int, added: Sequence[Picture]) -> dict[Picture, int]:
    """Number the pictures in the order given."""
    rows = [
        {"study": study, "kind": picture.kind, "algorithm": picture.algorithm, "item": picture.item}
        for picture in added
    ]
    # Not all databases return inserted rows in order unless asked to.
    statement = insert(schema.pictures).returning(schema.pictures.c.id, sort_by_parameter_order=True)
    return dict(zip(added, map(int, connection.execute(statement, rows).scalars()), strict=True))


def _schedules(plan: StudyPlan, numbers: Mapping[Picture, int]) -> list[tuple[str, list[PlannedTrial]]]:
    """Draw algorithm and schedule of each slot, with pictures by number."""
    items, algorithms = plan.sources.items, list(plan.sources.fakes)
    rng = np.random.default_rng(plan.seed)
    # Schedules are drawn per algorithm before the order of slots: the seed fixes both.
    drawn = [iter(design.schedules(len(items), plan.protocol, rng)) for _ in algorithms]

    def numbered(trial: PlannedTrial, algorithm: str) -> PlannedTrial:
        kind = "broken" if trial.phase == "attention" else "fake"
        return trial._replace(
            real=numbers[Picture("real", None, items[trial.real])],
            fake=numbers[Picture(kind, algorithm, items[trial.fake])],
        )

    return [
        (algorithms[i], [numbered(trial, algorithms[i]) for trial in next(drawn[i])])
        for i in design.interleaved(len(algorithms), plan.protocol.raters, rng)
    ]


def _add_slots(connection: Connection, study: int, schedules: Sequence[tuple[str, list[PlannedTrial]]]) -> None:
    """Add the slots in the order of assignment."""
    rows = [
        {"study": study, "sequence": i, "algorithm": algorithm, "schedule": json.dumps(schedule), "lease": 0.0}
        for i, (algorithm, schedule) in enumerate(schedules)
    ]
    connection.execute(insert(schema.slots), rows)


def _write_pictures(
    target: StudyFolder,
    plan: StudyPlan,
    numbered: Mapping[int, Picture],
    files: Mapping[Picture, Path],
    progress: _Progress,
) -> None:
    target.pictures.mkdir(parents=True)
    protocol = plan.protocol
    sizes = set()
    for done, (number, picture) in enumerate(numbered.items(), 1):
        pixels = study_pictures.read(files[picture], protocol.width, protocol.height, protocol.values)
        if picture.kind == "broken":
            pixels = study_pictures.broken(pixels, np.random.default_rng((plan.seed, number)))
        content = study_pictures.encode(pixels)
        sizes.add(len(content))
        target.picture(number).write_bytes(content)
        progress(done, len(numbered))
    # Sizes travel in HTTP headers, where a rater's browser shows them.
    assert len(sizes) == 1, "files of different sizes would tell real from fake"


def _flush(*paths: Path) -> None:
    """Flush files and folders to disk.

    A study in the database must survive a power loss whole. Flushing is cheap once all files are written, as the first
    flush takes most of the data along.
    """
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
