"""What benchmarks write down."""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

import record

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]


def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> record.Record:
    file = tmp_path / "new" / "found.json"
    monkeypatch.setattr(sys, "argv", [f"{ROOT}/benchmarks/some.py", f"{tmp_path}/before", "--json", str(file), "-n=2"])
    return record.Record("some", argparse.Namespace(json=file))


def test_a_record_holds_tables_and_circumstances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = recorded(tmp_path, monkeypatch)
    found.table("Steps", [{"step": "ours", "seconds": 1 / 3, "bytes": np.int64(7)}, {"step": "plain"}])
    found.save()
    text = (tmp_path / "new" / "found.json").read_text(encoding="utf-8")
    content = json.loads(text)
    assert content["tables"] == {"Steps": [{"step": "ours", "seconds": 1 / 3, "bytes": 7}, {"step": "plain"}]}
    assert content["command"] == "python benchmarks/some.py before --json found.json -n=2"
    assert content["versions"] == {
        "python": sys.version.split()[0],
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }
    machine = content["machine"]
    assert machine["memory_bytes"] > 2**28
    assert machine["cores"] >= machine["threads"] >= 1
    assert machine["processor"]
    assert isinstance(machine["avx512"], bool)
    assert (machine["gpu"] is None) == (not torch.cuda.is_available())
    assert content["date"].endswith("+00:00")
    assert (content["revision"] is None) == (content["clean"] is None)
    assert re.search(r'[" =]/', text) is None, "an absolute path"


def test_what_is_no_number_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = recorded(tmp_path, monkeypatch)
    found.table("Steps", [{"seconds": float("nan")}])
    with pytest.raises(ValueError, match="nan"):
        found.save()
    assert not (tmp_path / "new").exists()


def test_tables_are_aligned() -> None:
    rows: list[record.Row] = [{"step": "ours", "seconds": 0.41612}, {"step": "plain", "seconds": 12.0, "flop": 23456.7}]
    assert record.aligned(rows) == (
        "step   seconds       flop\n"  #
        "ours    0.4161\n"
        "plain       12  2.346e+04"
    )
