"""The command line. A command's module is imported only when the command is called, so that `--help` is quick."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from p2pbench import __version__
from p2pbench.errors import MENDABLE, check_no_pipe, check_text, shown
from p2pbench.lazy import Entry, LazyGroup
from p2pbench.threads import SPINS
from reports import atomic

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
