"""Making a study: its pictures, what it refuses, all or nothing; and the database it is put into."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import signal
import sqlite3
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from amt import study_pictures as pictures_module
from amt.design import PlannedTrial
from amt.errors import AmtError
from amt.folders import Studies
from amt.protocol import Protocol
from amt.store import schema
from amt.store.create import StudyPlan, create
from amt.store.database import Database, open_database
from amt.store.studies import Picture, Study, pictures_of
from amt.study_pictures import Sources, folder, matched
from tests.amt.study import ALGORITHMS, SMALL, make_study, no_commits
from tests.deep_folder import deep_folder


def schedules(database: Database, study: Study) -> list[tuple[str, list[PlannedTrial]]]:
    with database.reading() as connection:
        rows = connection.execute(select(schema.slots.c.algorithm, schema.slots.c.schedule).order_by("sequence"))
        return [(name, [PlannedTrial(*trial) for trial in json.loads(text)]) for name, text in rows]


def test_slots_name_pictures_of_their_algorithm_and_kind(database: Database, studies: Studies, pictures: Path) -> None:
    study = make_study(database, studies, pictures, SMALL.model_copy(update={"attention": 2}))
    with database.reading() as connection:
        known = pictures_of(connection, study.id)
    for algorithm, trials in schedules(database, study):
        for trial in trials:
            assert known[trial.real] == Picture("real", None, known[trial.fake].item)
            assert known[trial.fake].kind == ("broken" if trial.phase == "attention" else "fake")
            assert known[trial.fake].algorithm == algorithm
    assert sorted(name for name, _ in schedules(database, study)) == sorted(ALGORITHMS * SMALL.raters)


def test_the_seed_makes_the_schedules(database: Database, studies: Studies, pictures: Path) -> None:
    found = []
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        study = make_study(database, studies, pictures, name=name, seed=seed)
        with database.reading() as connection:
            known = pictures_of(connection, study.id)
            rows = connection.execute(select(schema.slots.c.schedule).where(schema.slots.c.study == study.id))
            trials = [PlannedTrial(*trial) for (text,) in rows for trial in json.loads(text)]
        found.append([(known[trial.fake], trial.fake_side, trial.phase) for trial in trials])
    assert found[0] == found[1] != found[2]


def test_every_picture_is_there_in_one_size(database: Database, studies: Studies, pictures: Path) -> None:
    study = make_study(database, studies, pictures)
    files = list(studies.study(study.name).pictures.iterdir())
    assert len(files) == 12 * 3
    assert len({file.stat().st_size for file in files}) == 1
    for file in files:
        with Image.open(file) as picture:
            assert (picture.size, picture.mode) == ((16, 16), "RGB")
            assert picture.info == {"srgb": 0}


def test_the_description_says_all_but_the_key(database: Database, studies: Studies, pictures: Path) -> None:
    study = make_study(database, studies, pictures)
    text = studies.study("small").description.read_text("utf-8")
    document = json.loads(text)
    assert document["fingerprint"] == SMALL.fingerprint
    assert document["protocol"]["scored"] == SMALL.scored
    assert document["items"][0] == "item-00"
    assert study.key not in text


def test_a_name_in_use_is_refused_and_the_first_stays(database: Database, studies: Studies, pictures: Path) -> None:
    make_study(database, studies, pictures)
    before = sorted(studies.folder.rglob("*.png"))
    with pytest.raises(AmtError, match="small: found a study of that name"):
        make_study(database, studies, pictures)
    assert sorted(studies.folder.rglob("*.png")) == before


@pytest.mark.parametrize("name", ["", "With Capitals", "../up", "a/b", "-a", "x" * 41])
def test_names_must_fit_a_link(database: Database, studies: Studies, pictures: Path, name: str) -> None:
    with pytest.raises(AmtError, match="a-z, 0-9"):
        make_study(database, studies, pictures, name=name)


def test_too_few_items_say_how_many(database: Database, studies: Studies, pictures: Path) -> None:
    with pytest.raises(AmtError, match=r"found 12 items, expected at least 55.*10 practice \+ 40 scored"):
        make_study(database, studies, pictures, Protocol())
    assert not list(studies.folder.glob("small"))


def test_a_picture_that_cannot_be_read_leaves_nothing(
    database: Database, studies: Studies, pictures: Path, tmp_path: Path
) -> None:
    for name in ("real", *ALGORITHMS):
        (tmp_path / "bad" / name).mkdir(parents=True)
        for file in (pictures / name).iterdir():
            (tmp_path / "bad" / name / file.name).write_bytes(file.read_bytes())
    (tmp_path / "bad" / "cGAN" / "item-03.png").write_bytes(b"no picture")
    with pytest.raises(AmtError, match=r"item-03\.png: cannot be read as a picture"):
        make_study(database, studies, tmp_path / "bad")
    assert not list(studies.folder.glob("small"))
    make_study(database, studies, pictures)


def test_a_study_that_is_not_committed_leaves_no_folder(studies: Studies, pictures: Path) -> None:
    database = open_database(studies.database, create=True)
    with no_commits(database, schema.studies.name), pytest.raises(IntegrityError):
        make_study(database, studies, pictures)
    assert not list(studies.folder.glob("small"))
    make_study(database, studies, pictures)
    database.close()


def _be_killed(folder: Studies, sources: Sources) -> None:
    def progress(done: int, total: int) -> None:
        if done == total // 2:
            os.kill(os.getpid(), signal.SIGKILL)

    create(
        open_database(folder.database, create=True), folder, StudyPlan("small", "Which?", sources, {}, SMALL), progress
    )


@pytest.mark.long
def test_a_killed_creation_leaves_no_study_and_keeps_no_name(studies: Studies, pictures: Path) -> None:
    sources = matched(folder(pictures / "real"), {name: folder(pictures / name) for name in ALGORITHMS})
    process = multiprocessing.get_context("spawn").Process(target=_be_killed, args=(studies, sources))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not studies.study("small").folder.exists()
    assert len(list(studies.unfinished("small").pictures.iterdir())) == 18
    database = open_database(studies.database)
    make_study(database, studies, pictures)
    database.close()
    assert not studies.unfinished("small").folder.exists()
    assert len(list(studies.study("small").pictures.iterdir())) == 36


def test_unmatched_items_are_named(tmp_path: Path) -> None:
    one = {f"item-{number}": tmp_path for number in range(4)}
    other = {f"item-{number}": tmp_path for number in range(1, 12)}
    with pytest.raises(AmtError, match=r"3 items .* of 12: real lacks item-10, .* and 3 more; L1 lacks item-0\."):
        matched(one, {"L1": other})
    assert matched(one, {"L1": other}, allow_partial=True).items == ["item-1", "item-2", "item-3"]
    with pytest.raises(AmtError, match="no algorithm"):
        matched(one, {})


def test_folders_without_pictures_or_with_two_of_an_item(tmp_path: Path) -> None:
    with pytest.raises(AmtError, match="found no such folder"):
        folder(tmp_path / "none")
    with pytest.raises(AmtError, match="found no picture"):
        folder(tmp_path)
    for suffix in ("png", "jpg"):
        Image.new("RGB", (4, 4)).save(tmp_path / f"a.{suffix}")
    with pytest.raises(AmtError, match=r"found a\.jpg and a\.png, expected one per item"):
        folder(tmp_path)


def test_names_in_any_encoding_and_what_is_passed_over(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    for content in (b"caf\xe9.png", "u\u0308.jfif".encode(), b"below/deep.png", b".hidden.png"):
        with open(os.path.join(os.fsencode(tmp_path), content), "wb") as file:
            Image.new("RGB", (4, 4)).save(file, "PNG")
    for name in ("a.gif", "b.gif", "notes"):
        (tmp_path / name).touch()
    (tmp_path / ".git").mkdir()
    passed_over: Counter[str] = Counter()
    assert sorted(folder(tmp_path, passed_over)) == ["caf%E9", "deep", "\u00fc"]
    assert passed_over == {".gif": 2, "hidden": 2, "no ending": 1}
    (tmp_path / "\u00fc.jfif").touch()
    with pytest.raises(AmtError, match=r"\(as bytes b'u\\xcc\\x88.jfif' and b'\\xc3\\xbc.jfif'\)"):
        folder(tmp_path)


def test_a_folder_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    too_deep = deep_folder(tmp_path)
    with pytest.raises(AmtError, match="the folder cannot be opened .File name too long.; make it readable"):
        folder(too_deep)


def test_pictures_of_every_kind_become_srgb(tmp_path: Path) -> None:
    def read(picture: Image.Image, name: str, icc_profile: bytes | None = None) -> list[int]:
        picture.save(tmp_path / name, icc_profile=icc_profile)
        return list(np.asarray(pictures_module.read(tmp_path / name, 4, 4))[0, 0])

    assert read(Image.new("RGB", (8, 8), (10, 20, 30)), "a.png") == [10, 20, 30]
    assert read(Image.new("L", (8, 8), 40), "b.png") == [40, 40, 40]
    assert read(Image.new("P", (8, 8), 0), "c.png") == [0, 0, 0]
    assert read(Image.fromarray(np.full((8, 8), 257 * 77, np.uint16)), "d.png") == [77, 77, 77]
    assert read(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "e.png") == [255, 255, 255]
    assert read(Image.new("1", (8, 8), 1), "f.png") == [255, 255, 255]
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert read(Image.new("RGB", (8, 8), (10, 20, 30)), "g.png", icc_profile=profile) == pytest.approx(
        [10, 20, 30], abs=1
    )
    assert read(Image.new("RGB", (8, 8), (10, 20, 30)), "h.png", icc_profile=b"damaged") == [10, 20, 30]


def test_a_turned_photo_is_shown_upright(tmp_path: Path) -> None:
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    upright = np.asarray(pictures_module.read(tmp_path / "a.png", 8, 16))
    assert (upright[:8] == 255).all()
    assert (upright[8:] == 0).all()


def test_broken_fakes_are_the_same_pixels_shuffled_and_inverted() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    found = np.asarray(pictures_module.broken(Image.fromarray(pixels), np.random.default_rng(1)))
    assert found.shape == pixels.shape
    assert sorted(255 - found.ravel()) == sorted(pixels.ravel())
    assert (found != 255 - pixels).mean() > 0.9


def test_encoding_loses_nothing_and_keeps_no_metadata() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    picture.info["comment"] = "secret"
    content = pictures_module.encode(picture)
    assert b"secret" not in content
    with Image.open(io.BytesIO(content)) as again:
        assert (np.asarray(again) == np.asarray(picture)).all()


def test_a_newer_schema_is_refused(database: Database, request: pytest.FixtureRequest, studies: Studies) -> None:
    with database.writing() as connection:
        connection.execute(update(schema.about).values(value=str(schema.VERSION + 1)))
    where = studies.database if database.kind == "sqlite" else request.getfixturevalue("postgresql")
    with pytest.raises(AmtError, match="found schema version 2, expected 1; update p2pbench"):
        open_database(where)


@pytest.mark.long
def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AmtError, match="found no studies there"):
        open_database(tmp_path / "none.sqlite")
    for text in ("no database " * 100, "mine", "x"):
        (tmp_path / "text.sqlite").write_text(text)
        with pytest.raises(AmtError, match="cannot be used as a database|found something else, expected a database"):
            open_database(tmp_path / "text.sqlite", create=True)
        assert (tmp_path / "text.sqlite").read_text() == text
    with sqlite3.connect(tmp_path / "bank.sqlite") as other:
        other.execute("CREATE TABLE accounts (owner TEXT)")
    other.close()
    with pytest.raises(AmtError, match="found a database with a table 'accounts', expected one of studies or nothing"):
        open_database(tmp_path / "bank.sqlite", create=True)
    with sqlite3.connect(tmp_path / "other.sqlite") as other:
        other.execute("CREATE TABLE amt_about (key TEXT, value TEXT)")
    other.close()
    with pytest.raises(AmtError, match="found schema version 0"):
        open_database(tmp_path / "other.sqlite")
    for url in ("mysql://host/x", "nonsense", "postgresql+psycopg://127.0.0.1:1/none"):
        with pytest.raises(AmtError):
            open_database(url)


def test_a_password_in_the_url_is_not_printed() -> None:
    with pytest.raises(AmtError) as error:
        open_database("postgresql+psycopg://me:s3cret@127.0.0.1:1/none")
    assert "s3cret" not in str(error.value)
