"""Analyses of studies as `amt` writes them, made by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from reports.store import ledger, scores
from reports.store.layout import Grid

PROTOCOL = {"raters": 3, "scored": 10}
FINGERPRINT = "abcdef123456"


def estimate(value: float, low: float, high: float) -> dict[str, Any]:
    return {"value": value, "error": 0.03, "low": low, "high": high}


def block(first: int, last: int, trials: int, fooled: int, low: float, high: float) -> dict[str, Any]:
    counts = {"first": first, "last": last, "raters": 3, "trials": trials, "fooled": fooled}
    return counts | {"correct": 1 - fooled / trials, "low": low, "high": high}


def algorithm(name: str, rate: float, items: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """An algorithm of three raters; items as trials and fooled."""
    positions = [
        {"position": place, "trials": 3, "fooled": place % 2, "correct": 1 - place % 2 / 3, "low": 0.3, "high": 1.0}
        for place in range(1, 11)
    ]
    return {
        "name": name,
        "trials": 30,
        "two_stage": estimate(rate, rate - 0.05, rate + 0.05),
        "claims": estimate(rate, rate - 0.1, rate + 0.1),
        "raters": [{"rater": letter, "fooled": 1, "trials": 10, "rate": 0.1} for letter in "abc"],
        "items": [{"item": item, "trials": trials, "fooled": fooled} for item, (trials, fooled) in items.items()],
        "curve": {
            "positions": positions,
            "blocks": [block(1, 5, 15, 3, 0.6, 0.95), block(6, 10, 15, 0, 0.75, 1)],
            "practice": [block(1, 4, 12, 6, 0.2, 0.8)],
            "halves": {"raters": 3, "first": 0.8, "second": 1.0, "change": 0.2, "low": -0.1, "high": 0.5},
        },
    }


def pairs(algorithms: list[dict[str, Any]], p: float = 0.2) -> list[dict[str, Any]]:
    """All pairs of the algorithms, each with the same p-values."""
    return [
        {
            "first": one["name"],
            "second": two["name"],
            "difference": estimate(difference, difference - 0.3, difference + 0.3),
            "probability": 0.5,
            "p": p,
            "adjusted": p,
        }
        for one, two in combinations(algorithms, 2)
        for difference in [one["claims"]["value"] - two["claims"]["value"]]
    ]


def as_format_2(content: dict[str, Any]) -> dict[str, Any]:
    """An analysis as version 2 of the format had it: claims and pairs by the bootstrap of raters and items."""
    old: dict[str, Any] = json.loads(json.dumps(content))
    old["format"] = 2
    for results in (old["kept"], old["everything"]):
        for each in results["algorithms"]:
            each["crossed"] = each.pop("claims") | {"degenerate": False}
        results["pairs_crossed"] = [
            {"holm": pair.pop("adjusted"), "degenerate": False} | pair for pair in results.pop("pairs")
        ]
        results["pairs_two_stage"] = results["pairs_crossed"]
    return old


def document(algorithms: list[dict[str, Any]], name: str = "first", grid: str = "losses") -> dict[str, Any]:
    """The analysis of a study of some cells of a grid, with one session left out for two reasons."""
    reasons = [{"rule": "incomplete", "sentence": ""}, {"rule": "few trials", "sentence": ""}]
    return {
        "title": "Which image is fake?",
        "simulated": False,
        "looked_at_early": True,
        "origin": {each["name"]: f"{grid}/{each['name']}/seed-0" for each in algorithms},
        "format": 3,
        "fingerprint": FINGERPRINT,
        "study": name,
        "protocol": PROTOCOL,
        "seed": 0,
        "replicates": 400,
        "kept": {"sessions": 6, "algorithms": algorithms, "pairs": pairs(algorithms)},
        "everything": {"sessions": 7, "algorithms": algorithms, "pairs": pairs(algorithms)},
        "exclusions": {"sessions": 7, "excluded": [{"session": "s", "algorithms": ["L1"], "reasons": reasons}]},
    }


def write(results: Path, content: dict[str, Any]) -> Path:
    """Put an analysis where `amt` puts it."""
    path = results / "study" / str(content["study"]) / "analysis.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    return path


def rate(results: Path, cell: str, items: tuple[str, ...], name: str = "first", fingerprint: str = FINGERPRINT) -> None:
    """Put a fooling rate into the ledger for the run of a cell with seed 0."""
    metric = scores.Metric(20.0, np.full(200, 20.0))
    protocol = {"study": name, "study_fingerprint": fingerprint}
    rates = scores.Scores(f"amt-{name}", protocol, items, len(items), {"fooling_rate": metric})
    ledger.write(Grid(results / "losses").run(cell, 0), rates)
