"""Command line.

Each command is imported when it is called, so that --help is quick.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from p2pbench.errors import MENDABLE, UserError, check_no_pipe, check_text, shown
from p2pbench.installation import VERSION
from reports.store import atomic

# GOMP_SPINCOUNT, which is read when torch is imported. By default OpenMP threads spin for so long that a training step
# takes ten times as long whenever another process wants a core (benchmarks/RESULTS.md).
SPINS = "10000"


class Entry(NamedTuple):
    """A command in a group's table.

    Attributes:
        target: Module in p2pbench.commands and function, such as "train:train_ablation".
        line: Its line in the group's help.
    """

    target: str
    line: str


class LazyGroup(click.Group):
    """Group of commands that are imported on first use."""

    def __init__(self, *args: object, table: Mapping[str, Entry], **more: object) -> None:
        super().__init__(*args, **more)  # type: ignore[arg-type] # click's own, passed on
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List all commands, in the order of a typical workflow."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self._table:
            return None
        module, function = self._table[cmd_name].target.split(":")
        command: click.Command = getattr(importlib.import_module(f"p2pbench.commands.{module}"), function)
        return command

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 (click's own)
        """Run a command.

        Turn Ctrl-C into a one-line error unless the command handles it.
        """
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise UserError("stopped; finished work is kept: give the same command again to resume") from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.line) for name, entry in self._table.items()])


COMMANDS = {
    "quickstart": Entry(
        "train:quickstart", "Run the full pipeline on built-in street scenes: minutes on two cores, no downloads."
    ),
    "train-ablation": Entry("train:train_ablation", "Train a grid of variants, then score and report their outputs."),
    "train": Entry("train:train", "Train one model on one of the paper's tasks or on your own dataset."),
    "generate": Entry("generator:generate", "Apply a trained generator to a folder of images of any size."),
    "generator-import": Entry(
        "generator:generator_import", "Import a generator trained by pytorch-CycleGAN-and-pix2pix."
    ),
    "fcn-import": Entry(
        "segmentation:fcn_import", "Import the published FCN-8s weights from their .caffemodel, without Caffe."
    ),
    "image-score": Entry(
        "images:image_score", "Score all runs by image metrics: distance to the targets, sharpness, colours, FID."
    ),
    "fcn-train": Entry("segmentation:fcn_train", "Train your own segmentation network for the FCN-score."),
    "fcn-score": Entry(
        "segmentation:fcn_score", "FCN-score of all runs of a results folder, or of any model's outputs."
    ),
    "label-score": Entry(
        "segmentation:label_score", "Accuracy and IoU of photo-to-labels outputs (Table 6 of the paper)."
    ),
    "amt": Entry("amt:amt", "Host and analyse the real-vs-fake study."),
    "report": Entry("report:report", "Write the report of a results folder, or what changed between two."),
    "plan": Entry("report:plan", "Smallest difference between two cells that more seeds would detect."),
    "datasets": Entry("datasets:datasets", "List the datasets and the files that each expects."),
    "download": Entry("datasets:download", "Download one of the published pix2pix datasets."),
    "settings": Entry("datasets:settings", "List all settings of a run with defaults and meanings."),
}


@click.group(cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="p2pbench")
def cli() -> None:
    """Train, score, study and report image-to-image translation models.

    Start with `p2pbench quickstart`. `p2pbench COMMAND --help` shows an example of each command.
    """


def main(arguments: list[str] | None = None) -> Any:  # noqa: ANN401 (click's own)
    """Run the command line.

    Errors that the user can fix are one line and exit code 1.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    try:
        for argument in sys.argv[1:] if arguments is None else arguments:
            check_text(argument)
            check_no_pipe(argument)
        return cli.main(args=arguments, prog_name="p2pbench")
    except MENDABLE as error:
        message = str(error)
    except OSError as error:  # a full disk or a folder without permission is outside the program too
        mend = atomic.advice(Path(error.filename or ""), error, "fix that and give the command again")
        message = f"{error.filename or 'a file'}: {error.strerror or error}; {mend}"
    click.echo(f"Error: {shown(message)}", err=True)
    sys.exit(1)
