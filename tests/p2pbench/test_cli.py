"""The command line as a user meets it: exit codes, one line an error, and every command's help."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from p2pbench.cli import COMMANDS, cli, main
from p2pbench.commands.options import overrides, seed_list
from p2pbench.config import OF_DISCRIMINATOR
from p2pbench.errors import UserError
from tests.p2pbench.tiny import TINY, Command


class Done(NamedTuple):
    """A command line that has ended."""

    returncode: int | None
    stdout: str
    stderr: str


Run = Callable[..., Done]


@pytest.fixture
def run(p2pbench: Command) -> Run:
    """Run the command line in a process of its own."""

    def run(*arguments: str) -> Done:
        process = p2pbench(*arguments)
        out, err = process.communicate()
        return Done(process.returncode, out, err)

    return run


def run_as_a_user_does(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "p2pbench", *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_helps_with_an_example(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert f"Example: p2pbench {name}" in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train-ablation", "loses"], "grid 'loses': no preset of that name"),
        (["train-ablation", "losses", "--set", "image_size=100"], "found 100; try 64 or 128"),
        (["train-ablation", "losses", "--set", "epoch=2"], "did you mean 'epochs'?"),
        (["train-ablation", "losses", "--dataset", "camvid"], "give its root (--root DIR)"),
        (["train-ablation", "losses", "--dataset", "camvid", "--root", "nowhere"], "nowhere: found no such folder"),
        (["train-ablation", "losses", "--seeds", "0,x"], "--seeds 0,x: expected whole numbers"),
        (["train", "--task", "facade"], "task 'facade': unknown"),
        (["generate", "nothing", "inputs", "--out", "out"], "nothing: no such file"),
        (["generator-import", "nothing.pth", "out.safetensors"], "nothing.pth: no such file"),
        (["image-score", "nothing"], "nothing: found no such folder"),
        (["label-score", "nothing"], "nothing: found no such folder; expected a results folder"),
        (["fcn-score", "nothing"], "nothing: found no such folder; expected a results folder"),
        (["fcn-score", "nothing", "--labels", "streets:"], "nothing: found no such folder"),
        (["fcn-import", "nothing", "out.safetensors"], "nothing: no such file"),
        (["fcn-train", "--dataset", "edges", "--out", "out.safetensors"], "dataset edges has pictures but no label"),
        (["report", "nothing"], "nothing"),
        (["train-ablation", "losses", "--set", "device=tpu9"], "device 'tpu9' is not one whose gradients were checked"),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_exit_code_1(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")  # else `main` sets how threads wait, for later tests too
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 1
    _one_error_line(capfd.readouterr().err, said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        "report FILE",
        "report FILE FILE",
        "report FILE --single-file",
        "fcn-score FILE",
        "image-score FILE",
        "label-score FILE",
        "fcn-score FILE --labels streets:",
        "fcn-score . --labels cityscapes:FILE",
        "train --dataset paired --root FILE",
        "train --dataset camvid --root FILE",
        "train --root FILE",
        "fcn-train --dataset cityscapes --root FILE --out out.safetensors",
        "amt create results --name a --title b --contact c --real FILE --fake x=FILE",
    ],
)
def test_a_file_where_a_folder_is_expected_is_called_a_file(
    arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.chdir(tmp_path)
    Path("file.py").write_text("print()")
    with pytest.raises(SystemExit) as ended:
        main(arguments.replace("FILE", "file.py").split())
    assert ended.value.code == 1
    said = capfd.readouterr().err
    _one_error_line(said, "a file")
    assert "file.py" in said
    assert "no such" not in said


@pytest.mark.process
def test_the_same_from_a_process_of_its_own() -> None:
    done = run_as_a_user_does("train-ablation", "loses")
    assert done.returncode == 1
    _one_error_line(done.stderr, "grid 'loses': no preset of that name")


def _one_error_line(printed: str, said: str) -> None:
    assert printed.startswith("Error: ")
    assert printed.count("\n") == 1
    assert said in printed


@pytest.mark.parametrize("name", ["pipe", "linked", "zeros", "socket"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["generator-import", "PIPE", "out.safetensors", "--dropout"],
        ["generate", "PIPE", "inputs", "--out", "out"],
        ["label-score", "PIPE", "--labels", "streets:"],
        ["label-score", "outputs", "--labels", "camvid:PIPE"],
        ["fcn-score", "results", "--weights", "PIPE"],
        ["fcn-score", "results", "--weights=PIPE"],
        ["fcn-train", "--dataset", "camvid", "--root", "PIPE", "--init", "PIPE", "--out", "x"],
        ["fcn-import", "PIPE", "x"],
        ["train-ablation", "PIPE"],
        ["amt", "analyse", "PIPE"],
        ["amt", "create", "results", "--real", "real", "--fake", "a=PIPE"],
        ["report", "results", "--single-file", "--out", "PIPE"],
    ],
    ids=lambda arguments: " ".join(arguments[:3]),
)
def test_pipes_and_devices_are_refused_and_not_waited_for(
    arguments: list[str], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "linked").symlink_to(tmp_path / "pipe")
    (tmp_path / "zeros").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        with pytest.raises(SystemExit) as end:
            main([argument.replace("PIPE", str(tmp_path / name)) for argument in arguments])
    assert end.value.code == 1
    assert f"Error: {tmp_path / name}: is a pipe or a device; expected a file or a folder" in capsys.readouterr().err


def test_a_reader_that_is_gone_ends_it_without_a_word(p2pbench: Command) -> None:
    with p2pbench("settings") as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


@pytest.mark.process
def test_wrong_usage_is_exit_code_2(run: Run) -> None:
    assert run("train-ablation").returncode == 2
    assert run_as_a_user_does("nonsense").returncode == 2


def test_the_whole_way_with_two_runs_at_once(folders: Path, tmp_path: Path, run: Run) -> None:
    file = tmp_path / "own.toml"
    settings = "\n".join(f"{key} = {json.dumps(value)}" for key, value in TINY.items())
    file.write_text(f'title = "Own"\n[settings]\n{settings}\n[cells.a]\nngf = 2\n[cells."b <&>"]\nngf = 3\n')
    out = tmp_path / "results"
    arguments = ["train-ablation", str(file), "--root", str(folders), "--out", str(out), "--device", "cpu"]
    refused = run(*arguments)
    assert refused.returncode == 1
    assert "cell 'b <&>'" in refused.stderr
    file.write_text(file.read_text().replace("b <&>", "b & c"))
    done = run(*arguments, "--parallel", "2")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"report: {out / 'report' / 'index.html'}\n"
    assert "[2/2]" in done.stderr
    assert re.search(r"2 concurrent runs: [\d.]+ images/s in total, against [\d.]+ sequentially \(", done.stderr)
    alone = tmp_path / "alone"
    done = run(*(str(alone) if part == str(out) else part for part in arguments))
    assert done.returncode == 0, done.stderr
    made = sorted(path.relative_to(out) for path in out.glob("own/*/seed-0/images/*"))
    assert len(made) == 6
    assert all((out / path).read_bytes() == (alone / path).read_bytes() for path in made)
    scored = run("image-score", str(out), "--json")
    lines = [json.loads(line) for line in scored.stdout.splitlines()]
    assert [(line["cell"], line["seed"], line["n"]) for line in lines] == [("a", 0, 3), ("b & c", 0, 3)]
    assert 0 < lines[0]["metrics"]["l1"] < 1
    printed = run("image-score", str(out)).stdout
    assert re.search(r"own/a seed 0, 3 of 3 items:\n    l1 +0\.\d{4}  \[0\.\d{4}, 0\.\d{4}\]", printed)


def test_a_run_that_fails_does_not_stop_the_others(folders: Path, tmp_path: Path, run: Run) -> None:
    file = tmp_path / "own.toml"
    shared = {key: value for key, value in TINY.items() if key not in OF_DISCRIMINATOR}
    settings = "\n".join(f"{key} = {json.dumps(value)}" for key, value in shared.items())
    file.write_text(
        f'title = "Own"\n[settings]\n{settings}\nobjective = "L2"\n'
        "[cells.bad]\nlearning_rate = 1e30\n[cells.good]\nlearning_rate = 1e-4\n"
    )
    for parallel in ("1", "2"):
        out = tmp_path / parallel
        done = run(
            "train-ablation", str(file), "--root", str(folders), "--out", str(out), "--jobs", parallel
        )  # its older name
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith("Error: 1 of 2 runs failed; the first: ")
        assert "G_L2 is" in done.stderr
        assert "Traceback" not in done.stderr
        assert len(list((out / "own" / "good" / "seed-0" / "images").iterdir())) == 3


def test_settings_may_be_given_once() -> None:
    assert overrides(("epochs=2", "mirror=false"), root="x", dataset=None) == {
        "root": "x",
        "epochs": 2,
        "mirror": False,
    }
    with pytest.raises(UserError, match="'epochs' is given twice"):
        overrides(("epochs=2", "epochs=3"))


@pytest.mark.parametrize("text", ["", "1,", "-1", "1,1", "a", "1.5"])
def test_seeds_are_whole_numbers_each_once(text: str) -> None:
    with pytest.raises(UserError, match="expected whole numbers"):
        seed_list(text)
    assert seed_list("0, 2") == [0, 2]
    assert seed_list(None) is None


@pytest.mark.process
def test_settings_lists_every_key() -> None:
    printed = run_as_a_user_does("settings").stdout
    assert "learning_rate = 0.0002" in printed
    assert "receptive_field = 70" in printed
    assert "1 | 16 | 34 | 70 | 142 | 286" in printed


def test_datasets_lists_every_one(run: Run) -> None:
    printed = run("datasets").stdout
    for name in ("streets", "cityscapes", "camvid", "paired", "folders", "colorization", "inpainting", "edges"):
        assert f"\n{name}: " in "\n" + printed
    assert "Canny" in printed
