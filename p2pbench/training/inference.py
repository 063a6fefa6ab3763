"""Generator inference: test outputs of a run, and folders of pictures of any size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from p2pbench.datasets import pictures, transforms
from p2pbench.datasets.catalogue import DATASETS
from p2pbench.datasets.dataset import A_TO_B, LABELS_TO_PHOTO, MOST_NAMED, Dataset, LabelledPhotos
from p2pbench.datasets.decoders import Picture
from p2pbench.datasets.label_images import refuse_train_ids
from p2pbench.datasets.pairs import Folders, Paired
from p2pbench.datasets.survey import folder_lines
from p2pbench.datasets.transforms import from_network, to_network
from p2pbench.errors import UserError
from p2pbench.networks.generator import BatchNormMode, Generator, for_testing
from p2pbench.runtime.device import failures_told, is_out_of_memory
from p2pbench.runtime.interrupt import Stop, Stopped
from p2pbench.training.generated_folder import Record, begin, write_record
from p2pbench.training.generator_file import IMPORTED, GeneratorCard, input_bits, load_generator
from p2pbench.training.leftovers import check_generator
from p2pbench.training.seeding import Purpose, item_number, torch_seed
from reports.store import apart
from reports.store.arithmetic import flaw
from reports.store.layout import Run, found_at
from reports.store.made import Made, digest
from reports.store.names import counted


class Translator:
    """A generator set for testing as its card says: without gradients, and each item with noise of its own.

    Used as `with Translator(...).open() as translate: picture = translate(values, item_id)`.
    """

    def __init__(self, generator: Generator, card: GeneratorCard, dataset: Dataset) -> None:
        self._generator, self._card, self._dataset = generator, card, dataset
        self._device = next(generator.parameters()).device

    @contextmanager
    def open(self) -> Iterator[Translator]:
        """Set the generator for testing; at the end it and torch's random state are as they were."""
        devices = [self._device] if self._device.type == "cuda" else []
        mode = for_testing(self._generator, dropout=self._card.test_dropout, batch_norm=self._card.test_batch_norm)
        with torch.inference_mode(), torch.random.fork_rng(devices), mode:
            yield self

    def __call__(self, values: Picture, item_id: str) -> Picture:
        """The picture (H, W, C) made of an input picture (H, W, C), whose sides may be any.

        Raises:
            UserError: a value of it is no finite number.
        """
        height, width = values.shape[:2]
        x = to_network(torch.tensor(values).permute(2, 0, 1)[None], self._card.input_range)
        # Finished before it is padded: a hole, say, is placed by the sides of the picture itself.
        x = pad_to_stride(self._dataset.finish_input(x), self._generator.depth)
        torch.manual_seed(torch_seed(self._card.seed, Purpose.TEST, item_number(item_id)))
        output = self._generator(x.to(self._device))[0]
        if not torch.isfinite(output).all():
            raise UserError(
                f"the output for {item_id} holds NaN or infinite values: the generator is of a training that failed; "
                "train anew, or give another"
            )
        bits = f"uint{self._card.output_bits}"
        picture = from_network(output[:, :height, :width], self._card.output_range, bits)
        return self._dataset.to_picture(values, picture)


def pad_to_stride(batch: Tensor, depth: int) -> Tensor:
    """Inputs (B, C, H, W) mirrored beyond their right and lower edge, up to multiples of 2**depth."""
    stride = 2**depth
    height, width = batch.shape[-2:]
    padding = ((0, 0), (0, 0), (0, -height % stride), (0, -width % stride))
    return torch.from_numpy(np.pad(batch.numpy(), padding, mode="symmetric"))


def as_picture(values: Tensor) -> Picture:
    """Picture values (C, H, W) as a picture (H, W, C)."""
    picture: Picture = values.permute(1, 2, 0).contiguous().cpu().numpy()
    return picture


PADDING = "mirrored at the right and lower edge up to the stride, cut off afterwards"


@dataclass
class Translated:
    """What became of a folder of pictures, by id.

    Attributes:
        made: How many pictures this call made.
        kept: How many an earlier call had made.
        failed: Why the others could not be made.
        kinds: The files that were used, by what they are: channels, depth, and what was done to them.
    """

    made: int = 0
    kept: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, list[str]] = field(default_factory=dict)

    def remarks(self) -> list[str]:
        """A line on each kind of file, if they are a mixture or were converted."""
        if len(self.kinds) < 2 and not any("," in kind for kind in self.kinds):
            return []
        return [_remark(kind, files) for kind, files in sorted(self.kinds.items())]


def translate_folder(
    generator_file: Path,
    inputs: Path,
    out: Path,
    device: torch.device,
    advance: Callable[[int, int], None],
    *,
    say: Callable[[str], None] = lambda text: None,
    dropout: bool | None = None,
    batch_norm: BatchNormMode | None = None,
    seed: int | None = None,
    overwrite: bool = False,
    stop: Stop = False,
) -> Translated:
    """Make a picture of every picture in a folder and those below it, at its own size.

    Sides are mirrored up to multiples of the generator's stride and cut back afterwards, so that the aspect is kept;
    batch statistics are each picture's own. What made the pictures is recorded in `generation.json` beside them. The
    same call goes on where it was stopped. A picture that cannot be used does not keep the others from being made.

    Args:
        generator_file: a `generator.safetensors`, or the folder of a finished run.
        inputs: the folder of pictures.
        out: the folder to write to, one lossless picture an input, under its name.
        device: what computes.
        advance: called with the number of pictures done and of all.
        say: called with a line on what looks wrong and may be right, such as values beyond the generator's range,
            and on what is wrong with the generator's training.
        dropout: on or off; None takes what the run was tested with.
        batch_norm: "batch" or "running" statistics; None takes what the run was tested with.
        seed: of the dropout noise; None takes the run's.
        overwrite: replace all pictures of an earlier call, if none was changed since.
        stop: whether somebody asked to stop.

    Raises:
        UserError: the generator cannot be used, there are no pictures, `out` holds others, or cannot be written to.
        ReportError: `out` is, holds or lies in what is read, or nearly no value of the pictures lies within the
            generator's range.
        DeviceLost: the device stopped working; the same call goes on from there.
        Stopped: `stop` was asked for; the same call goes on from there.
    """
    if generator_file.is_dir():
        generator_file /= "generator.safetensors"
    generator, card = load_generator(generator_file)
    run = Run(generator_file.parent, generator_file.parent.parent.name, None)
    if run.generator == generator_file:
        check_generator(run, Made(run.folder))
        if not card.source.startswith(IMPORTED) and (wrong := flaw(run)):
            say(f"{generator_file}: {wrong}")
    changed = {"test_dropout": dropout, "test_batch_norm": batch_norm, "seed": seed}
    card = card.model_copy(update={key: value for key, value in changed.items() if value is not None})
    if dropout and not card.architecture.dropout_blocks:
        raise UserError(f"--dropout on has no effect: {generator_file} has no dropout layers; leave it out")
    if seed is not None and not (card.test_dropout and card.architecture.dropout_blocks):
        raise UserError(f"--seed {seed} has no effect: it is that of dropout's noise, which is off; leave it out")
    if not inputs.is_dir():
        raise UserError(f"{inputs}: {found_at(inputs)}, expected a folder of pictures; check the path")
    apart.check(out, [inputs, generator_file])
    passed_over: Counter[str] = Counter()
    found = pictures.find_recursive(inputs, passed_over)
    if line := pictures.passed_over_line(inputs, passed_over):
        say(line)
    if not found:
        raise UserError(f"{inputs}: found no pictures; expected PNG, JPEG or TIFF files in it or below it")
    apart.check(out, found.values())  # which may be linked from elsewhere
    record = Record(
        generator=generator_file.name,
        sha256=digest(generator_file),
        padding=PADDING,
        card=card,
        inputs={id_: digest(path) for id_, path in found.items()},
    )
    dataset = bare_dataset(card)
    if isinstance(dataset, LabelledPhotos) and dataset.direction == LABELS_TO_PHOTO:
        refuse_train_ids(dataset.table, list(found.values()))
    for line in folder_lines(
        list(found.values()), lambda path: _input(path, dataset, card)[0], card.input_range, str(generator_file)
    ):
        say(line)
    there, made_files = begin(out, record, overwrite=overwrite)
    result = Translated(kept=len(there))
    pair_seen = False
    with failures_told(device), Translator(generator.to(device), card, dataset).open() as translate:
        for done, (id_, path) in enumerate(found.items(), 1):
            if id_ not in there:
                try:
                    values, kind = _input(path, dataset, card)
                    if not pair_seen and (pair_seen := _may_be_pair(values, dataset)):
                        say(_pair_remark(path, dataset))
                    picture = translate(values, id_)
                except UserError as error:
                    result.failed[id_] = str(error)
                except RuntimeError as error:
                    if not is_out_of_memory(error):
                        raise
                    result.failed[id_] = f"{path}: is too large for the memory there is; cut it into tiles"
                else:
                    pictures.write(out / id_, picture, made_files.note)
                    result.made += 1
                    result.kinds.setdefault(kind, []).append(path.relative_to(inputs).as_posix())
            advance(done, len(found))
            if stop and done < len(found):
                more = ", without --overwrite," if overwrite else ""
                raise Stopped(
                    f"{out}: stopped; {result.made + result.kept} of {len(found)} pictures are made, and the same "
                    f"command{more} makes the rest"
                )
    made = result.made + result.kept
    write_record(out, record.model_copy(update={"failed": result.failed, "pictures": made}))
    return result


def bare_dataset(card: GeneratorCard) -> Dataset:
    """The dataset that a generator was trained on, without its files: how it makes inputs and keeps outputs.

    Raises:
        UserError: the card names a dataset that this version does not know.
    """
    if card.dataset not in DATASETS:
        raise UserError(f"the generator was trained on dataset '{card.dataset}', which this version does not know")
    return DATASETS[card.dataset](None, card.direction, files=False)


def _input(path: Path, dataset: Dataset, card: GeneratorCard) -> tuple[Picture, str]:
    """The input made of a file, of the depth and the channels that the generator was trained on, and what it was.

    As in training, grey is repeated for a generator of colours and colours become grey for one of grey. Depth is never
    changed: which value of 16 bits would be which of 8 is the user's to say.
    """
    picture = pictures.read(path)
    values = dataset.from_picture(picture, path)
    bits, expected, channels = 8 * values.itemsize, input_bits(card), card.architecture.input_channels
    if expected is not None and bits != expected:
        raise UserError(
            f"{path}: found {bits} bits a channel, expected {expected}, as the generator was trained on; convert it"
        )
    kind = f"{counted(picture.shape[2], 'channel')} of {8 * picture.itemsize} bits"
    if values.shape[2] != channels:
        kind += f", brought to {channels}"
    return transforms.convert(values, channels, path), kind


def _remark(kind: str, files: list[str]) -> str:
    more = ", ..." if len(files) > MOST_NAMED else ""
    return f"{counted(len(files), 'picture')} of {kind}: {', '.join(files[:MOST_NAMED])}{more}"


def _may_be_pair(values: Picture, dataset: Dataset) -> bool:
    """Whether an input of a generator of pairs has the shape of a whole pair, A|B side by side."""
    return isinstance(dataset, (Paired, Folders)) and values.shape[1] == 2 * values.shape[0]


def _pair_remark(path: Path, dataset: Dataset) -> str:
    side, half = ("A", "left") if dataset.direction == A_TO_B else ("B", "right")
    return (
        f"{path}: is twice as wide as high, and taken as one picture; "
        f"if it is A|B side by side, give {side} alone, its {half} half"
    )
