"""Making a study: its pictures re-encoded once, its places and their schedules drawn, all or nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from amt import design, pictures
from amt.design import Planned
from amt.errors import AmtError, counted
from amt.layout import Studies, StudyFolder
from amt.pictures import Sources
from amt.protocol import Protocol
from amt.recruitment import Consent, Recruitment
from amt.store import studies
from amt.store.database import Database
from amt.store.studies import Clusters, Picture, Study

_Count = Callable[[int, int], None]


class Plan(NamedTuple):
    """What a study is to be.

    Attributes:
        name: As in its links: a-z, 0-9 and -.
        title: What raters read on top.
        sources: Its pictures.
        origin: Where they came from, in words, by algorithm and "real".
        protocol: What raters see.
        seed: Every schedule follows from it.
        consent: What raters agree to.
        recruitment: How they come.
        simulated: Whether the raters will be programs.
        clusters: Which items vary together; None where each stands alone, or nobody has said.
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
    clusters: Clusters | None = None


def create(database: Database, folder: Studies, plan: Plan, count: _Count = lambda done, total: None) -> Study:
    """Make a study.

    Args:
        database: Where it is kept.
        folder: Where its pictures go.
        plan: What it is to be.
        count: Hears how many pictures of how many are done.

    Raises:
        AmtError: The name is in use or none, there are too few items, or a picture cannot be read.
    """
    target = folder.study(plan.name)
    items = plan.sources.items
    if len(items) < plan.protocol.items:
        need = plan.protocol
        raise AmtError(
            f"{plan.name}: found {counted(len(items), 'item')}, expected at least {need.items}, since no item comes "
            f"twice in a session ({need.practice} practice + {need.scored} scored + {need.attention} attention + "
            f"{need.spares} spare); add items, or ask for fewer trials"
        )
    with ExitStack() as undo, database.writing() as connection:
        number = studies.create(
            connection,
            name=plan.name,
            title=plan.title,
            simulated=plan.simulated,
            protocol=plan.protocol,
            seed=plan.seed,
            items=items,
            origin=plan.origin,
            consent=plan.consent,
            recruitment=plan.recruitment,
            algorithms=list(plan.sources.fakes),
            clusters=plan.clusters,
        )
        if target.folder.exists():
            raise AmtError(f"{target.folder}: found a folder there, expected none; give another name, or move it away")
        wanted = _pictures(plan)
        numbers = dict(zip(wanted, studies.add_pictures(connection, number, list(wanted)), strict=True))
        studies.add_places(connection, number, _places(plan, numbers))
        study = studies.find(connection, plan.name)
        assert study is not None
        undo.push(lambda kind, *_: shutil.rmtree(target.folder, ignore_errors=True) if kind else None)
        _write(target, plan, {numbers[picture]: picture for picture in wanted}, wanted, count)
        target.description.touch(0o600 if plan.recruitment.codes else 0o666)  # whoever has the codes may claim the pay
        target.description.write_text(describe(study, database.kind), "utf-8")
    return study


def describe(study: Study, kind: str) -> str:
    """A study for people, as JSON; without the key of its pseudonyms."""
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


def _pictures(plan: Plan) -> dict[Picture, Path]:
    """The pictures to be, with the files that they are made from."""
    kinds = ["fake", "broken"] if plan.protocol.attention else ["fake"]
    real = {Picture("real", None, item): path for item, path in plan.sources.real.items()}
    return real | {
        Picture(kind, algorithm, item): path
        for algorithm, files in plan.sources.fakes.items()
        for kind in kinds
        for item, path in files.items()
    }


def _places(plan: Plan, numbers: Mapping[Picture, int]) -> list[tuple[str, list[Planned]]]:
    items, algorithms = plan.sources.items, list(plan.sources.fakes)
    rng = np.random.default_rng(plan.seed)
    drawn = [iter(design.schedules(len(items), plan.protocol, rng)) for _ in algorithms]

    def numbered(trial: Planned, algorithm: str) -> Planned:
        kind = "broken" if trial.phase == "attention" else "fake"
        return trial._replace(
            real=numbers[Picture("real", None, items[trial.real])],
            fake=numbers[Picture(kind, algorithm, items[trial.fake])],
        )

    return [
        (algorithms[index], [numbered(trial, algorithms[index]) for trial in next(drawn[index])])
        for index in design.interleaved(len(algorithms), plan.protocol.raters, rng)
    ]


def _write(
    target: StudyFolder,
    plan: Plan,
    numbered: Mapping[int, Picture],
    files: Mapping[Picture, Path],
    count: _Count,
) -> None:
    target.pictures.mkdir(parents=True)
    sizes = set()
    for done, (number, picture) in enumerate(numbered.items(), 1):
        pixels: Image.Image = pictures.read(
            files[picture], plan.protocol.width, plan.protocol.height, plan.protocol.values
        )
        if picture.kind == "broken":
            pixels = pictures.broken(pixels, np.random.default_rng((plan.seed, number)))
        content = pictures.encode(pixels)
        sizes.add(len(content))
        target.picture(number).write_bytes(content)
        count(done, len(numbered))
    assert len(sizes) == 1, "files of different sizes would tell real from fake"
