"""The command line. A command's module is imported only when the command is called, so that `--help` is quick."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from p2pbench import __version__
from p2pbench.errors import MENDABLE

SPINS = "10000"
# A command's module in p2pbench.commands, and its line in `p2pbench --help`.
COMMANDS = {
    "quickstart": ("quickstart", "The whole chain on the embedded street scenes: minutes on two cores, no downloads."),
    "train-ablation": ("train_ablation", "Train a grid of variants, make their test pictures, score and report them."),
    "train": ("train", "Train one model: a task of the paper's, or a dataset of yours."),
    "generate": ("generate", "Apply a trained generator to a folder of pictures of any size."),
    "generator-import": ("generator_import", "Take over a generator trained by pytorch-CycleGAN-and-pix2pix."),
    "fcn-import": ("fcn_import", "Take over the published FCN-8s weights from their .caffemodel, without Caffe."),
    "image-score": ("image_score", "L1, PSNR, SSIM and colour histograms of all runs of a results folder."),
    "fcn-train": ("fcn_train", "Train a scorer of your own for the FCN-score."),
    "fcn-score": ("fcn_score", "The FCN-score of all runs of a results folder, or of any model's outputs."),
    "label-score": ("label_score", "Photo-to-labels outputs as label maps: accuracies and IoU, as in Table 6."),
    "report": ("report", "Write the HTML and CSV report of a results folder."),
    "datasets": ("datasets", "List the datasets that can be trained on, and the files each expects."),
    "download": ("download", "Fetch one of the published pix2pix datasets."),
    "settings": ("settings", "List every setting of a run, its default and its meaning."),
}


class LazyGroup(click.Group):
    """A group that imports a command's module when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"p2pbench.commands.{COMMANDS[cmd_name][0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table above instead of from their modules."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="p2pbench")
def cli() -> None:
    """Train, score, study and report image-to-image translation models.

    Begin with `p2pbench quickstart`. `p2pbench COMMAND --help` shows an example of each command.
    """


def main(arguments: list[str] | None = None) -> Any:  # noqa: ANN401 (click's own)
    """Run the command line; an error that the user can mend is one line and exit code 1."""
    # Threads that wait for one another spin, by default for so long that a step takes ten times its time whenever
    # another process wants a core (benchmarks/RESULTS.md). Read when torch is imported, so it is set before.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    try:
        return cli.main(args=arguments, prog_name="p2pbench")
    except MENDABLE as error:
        message = str(error)
    except OSError as error:  # a full disk, a folder without permission: outside the program too
        message = f"{error.filename or 'a file'}: {error.strerror or error}; mend that and give the command again"
    click.echo(f"Error: {message}", err=True)
    sys.exit(1)
