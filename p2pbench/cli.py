"""Command line; imports a command only when it is called, so that --help is quick."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from p2pbench import __version__
from p2pbench.errors import MENDABLE, UserError, check_no_pipe, check_text, shown
from reports.store import atomic

# By default they spin, for so long that a step takes ten times its time whenever another process wants a core
# (benchmarks/RESULTS.md). The value of GOMP_SPINCOUNT, which is read when torch is imported.
SPINS = "10000"


class Entry(NamedTuple):
    """A command: its module in p2pbench.commands, and its line in the group's help."""

    module: str
    line: str


class LazyGroup(click.Group):
    """A group that imports a command's module when it is called."""

    def __init__(self, *args: object, table: Mapping[str, Entry], **more: object) -> None:
        super().__init__(*args, **more)  # type: ignore[arg-type] # click's own, passed on
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order in which a user meets them."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self._table:
            return None
        command: click.Command = importlib.import_module(f"p2pbench.commands.{self._table[cmd_name].module}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 (click's own)
        """Call a command; Ctrl-C, where the command itself does not say how to go on, is a line that does."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise UserError("stopped; what was finished is kept: give the same command again for the rest") from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table instead of from their modules."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.line) for name, entry in self._table.items()])


COMMANDS = {
    "quickstart": Entry(
        "quickstart", "The whole chain on the embedded street scenes: minutes on two cores, no downloads."
    ),
    "train-ablation": Entry(
        "train_ablation", "Train a grid of variants, make their test pictures, score and report them."
    ),
    "train": Entry("train", "Train one model: a task of the paper's, or a dataset of yours."),
    "generate": Entry("generate", "Apply a trained generator to a folder of pictures of any size."),
    "generator-import": Entry("generator_import", "Take over a generator trained by pytorch-CycleGAN-and-pix2pix."),
    "fcn-import": Entry("fcn_import", "Take over the published FCN-8s weights from their .caffemodel, without Caffe."),
    "image-score": Entry(
        "image_score", "Distances to the targets, sharpness, colours, FID: of all runs of a results folder."
    ),
    "fcn-train": Entry("fcn_train", "Train a scorer of your own for the FCN-score."),
    "fcn-score": Entry("fcn_score", "The FCN-score of all runs of a results folder, or of any model's outputs."),
    "label-score": Entry("label_score", "Photo-to-labels outputs as label maps: accuracies and IoU, as in Table 6."),
    "amt": Entry("amt", "Host the real-vs-fake study for raters, and analyse it."),
    "report": Entry("report", "Write the report of a results folder, or what changed between two."),
    "plan": Entry("plan", "How small a difference between two cells more seeds would tell."),
    "datasets": Entry("datasets", "List the datasets that can be trained on, and the files each expects."),
    "download": Entry("download", "Fetch one of the published pix2pix datasets."),
    "settings": Entry("settings", "List every setting of a run, its default and its meaning."),
}


@click.group(cls=LazyGroup, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="p2pbench")
def cli() -> None:
    """Train, score, study and report image-to-image translation models.

    Begin with `p2pbench quickstart`. `p2pbench COMMAND --help` shows an example of each command.
    """


def main(arguments: list[str] | None = None) -> Any:  # noqa: ANN401 (click's own)
    """Run the command line; an error that the user can mend is one line and exit code 1."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    try:
        for argument in sys.argv[1:] if arguments is None else arguments:
            check_text(argument)
            check_no_pipe(argument)
        return cli.main(args=arguments, prog_name="p2pbench")
    except MENDABLE as error:
        message = str(error)
    except OSError as error:  # a full disk, a folder without permission: outside the program too
        mend = atomic.advice(Path(error.filename or ""), error, "mend that and give the command again")
        message = f"{error.filename or 'a file'}: {error.strerror or error}; {mend}"
    click.echo(f"Error: {shown(message)}", err=True)
    sys.exit(1)
