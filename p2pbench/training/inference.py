"""Generator inference for test items and folders of pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fcn.segmenting import is_out_of_memory
from p2pbench.datasets import pictures, transforms
from p2pbench.datasets.catalogue import DATASETS
from p2pbench.datasets.dataset import A_TO_B, LABELS_TO_PHOTO, MOST_NAMED, Dataset, LabelledPhotos
from p2pbench.datasets.decoders import Picture
from p2pbench.datasets.label_images import refuse_train_ids
from p2pbench.datasets.pairs import Folders, PairedDataset
from p2pbench.datasets.survey import folder_lines
from p2pbench.datasets.transforms import from_network, to_network
from p2pbench.errors import UserError
from p2pbench.networks.generator import BatchNormMode, Generator, test_mode
from p2pbench.runtime.device import device_errors
from p2pbench.runtime.interrupt import Stop, Stopped
from p2pbench.runtime.progress import ProgressReporter
from p2pbench.training.generated_folder import Generation, begin, write_generation
from p2pbench.training.generator_file import IMPORTED, GeneratorCard, input_bits, load_generator
from p2pbench.training.leftovers import check_generator
from p2pbench.training.seeding import Purpose, item_number, torch_seed
from reports.store import apart
from reports.store.arithmetic import flaw
from reports.store.layout import Run, found_at
from reports.store.made import Made, digest
from reports.store.names import counted

PADDING = "mirrored at the right and lower edge up to the stride, cut off afterwards"


class Translator:
    """Generator in the test mode of its card.

    Without gradients, and with separate noise per item.

    Used as `with Translator(...).open() as translate: picture = translate(values, item_id)`.
    """

    def __init__(self, generator: Generator, card: GeneratorCard, dataset: Dataset) -> None:
        self._generator, self._card, self._dataset = generator, card, dataset
        self._device = next(generator.parameters()).device

    @contextmanager
    def open(self) -> Iterator[Translator]:
        """Set the generator to test mode.

        At the end it and torch's random state are restored.
        """
        devices = [self._device] if self._device.type == "cuda" else []
        mode = test_mode(self._generator, dropout=self._card.test_dropout, batch_norm=self._card.test_batch_norm)
        with torch.inference_mode(), torch.random.fork_rng(devices), mode:
            yield self

    def __call__(self, values: Picture, item_id: str) -> Picture:
        """Translate an input picture (H, W, C) of any size into a picture (H, W, C).

        Raises:
            UserError: an output value is not finite.
        """
        height, width = values.shape[:2]
        x = to_network(torch.tensor(values).permute(2, 0, 1)[None], self._card.input_range)
        # Finished before padding: inpainting's hole is centred in the picture itself.
        x = pad_to_stride(self._dataset.finish_input(x), self._generator.depth)
        # Seeded by item, so an output depends neither on the order of items nor on which are made again.
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
    """Pad inputs (B, C, H, W) by mirroring to multiples of 2**depth.

    At the right and lower edge.
    """
    stride = 2**depth
    height, width = batch.shape[-2:]
    padding = ((0, 0), (0, 0), (0, -height % stride), (0, -width % stride))
    return torch.from_numpy(np.pad(batch.numpy(), padding, mode="symmetric"))


def as_picture(values: Tensor) -> Picture:
    """Convert picture values (C, H, W) to a picture (H, W, C)."""
    picture: Picture = values.permute(1, 2, 0).contiguous().cpu().numpy()
    return picture


@dataclass(frozen=True)
class Translation:
    """A folder of pictures to translate by a generator.

    Attributes:
        generator_file: A `generator.safetensors`, or the folder of a finished run.
        inputs: Folder of the pictures.
        out: Folder to write to, one lossless picture per input, under its name.
        dropout: On or off; None keeps the card's test mode.
        batch_norm: "batch" or "running" statistics; None keeps the card's test mode.
        seed: Of the dropout noise; None keeps the card's.
        overwrite: Whether to replace all pictures of an earlier call, if none was changed since.
    """

    generator_file: Path
    inputs: Path
    out: Path
    dropout: bool | None = None
    batch_norm: BatchNormMode | None = None
    seed: int | None = None
    overwrite: bool = False


@dataclass
class Translated:
    """Outcome of a folder's translation, by picture id.

    Attributes:
        made: Number of pictures that this call made.
        kept: Number of pictures that an earlier call had made.
        failed: Why the others could not be made.
        kinds: The files used, by kind: channels, depth, and their conversion.
    """

    made: int = 0
    kept: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, list[str]] = field(default_factory=dict)

    def remarks(self) -> list[str]:
        """List the kinds of files, one line each.

        Only if they are a mixture or were converted.
        """
        if len(self.kinds) < 2 and not any("," in kind for kind in self.kinds):
            return []
        return [_remark(kind, files) for kind, files in sorted(self.kinds.items())]


def translate_folder(
    job: Translation, device: torch.device, reporter: ProgressReporter, stop: Stop = False
) -> Translated:
    """Translate every picture below a folder, at its own size.

    Sides are mirrored up to multiples of the generator's stride and cut back afterwards, so that the aspect is kept;
    batch statistics are each picture's own. `generation.json` beside the pictures records how they were made. The same
    call resumes where it was stopped. A picture that cannot be used does not keep the others from being made.

    The reporter also gets lines on what may be wrong: values beyond the generator's range, flaws of its training.

    Raises:
        UserError: the generator cannot be used, there are no pictures, `out` holds others, or cannot be written to.
        ReportError: `out` is, holds or lies in what is read, or nearly no value of the pictures lies within the
            generator's range.
        DeviceLost: the device stopped working; the same call resumes.
        Stopped: a stop was requested; the same call resumes.
    """
    file = job.generator_file / "generator.safetensors" if job.generator_file.is_dir() else job.generator_file
    generator, card = _load(file, job, reporter)
    inputs = _find_inputs(job, file, reporter)
    dataset = bare_dataset(card)
    if isinstance(dataset, LabelledPhotos) and dataset.direction == LABELS_TO_PHOTO:
        refuse_train_ids(dataset.table, list(inputs.values()))
    ranges = folder_lines(
        list(inputs.values()), lambda path: _input(path, dataset, card)[0], card.input_range, str(file)
    )
    for line in ranges:
        reporter.say(line)
    generation = Generation(
        generator=file.name,
        sha256=digest(file),
        padding=PADDING,
        card=card,
        inputs={id_: digest(path) for id_, path in inputs.items()},
    )
    earlier, made = begin(job.out, generation, overwrite=job.overwrite)
    result = Translated(kept=len(earlier))
    pair_seen = False
    with device_errors(device), Translator(generator.to(device), card, dataset).open() as translate:
        for done, (id_, path) in enumerate(inputs.items(), 1):
            if id_ not in earlier:
                try:
                    # Files are read one by one, when it is their turn: a damaged one fails alone.
                    values, kind = _input(path, dataset, card)
                    if not pair_seen and (pair_seen := _may_be_pair(values, dataset)):
                        reporter.say(_pair_remark(path, dataset))
                    picture = translate(values, id_)
                except UserError as error:
                    result.failed[id_] = str(error)
                except RuntimeError as error:
                    if not is_out_of_memory(error):
                        raise
                    result.failed[id_] = f"{path}: is too large for the memory there is; cut it into tiles"
                else:
                    pictures.write(job.out / id_, picture, made.note)
                    result.made += 1
                    result.kinds.setdefault(kind, []).append(path.relative_to(job.inputs).as_posix())
            reporter.count("pictures", done, len(inputs))
            if stop and done < len(inputs):
                more = ", without --overwrite," if job.overwrite else ""
                raise Stopped(
                    f"{job.out}: stopped; {result.made + result.kept} of {len(inputs)} pictures are made, and the same "
                    f"command{more} makes the rest"
                )
    total = result.made + result.kept
    # Written again with the outcome; the first record, at the beginning, lets an interrupted call resume.
    write_generation(job.out, generation.model_copy(update={"failed": result.failed, "pictures": total}))
    return result


def _load(file: Path, job: Translation, reporter: ProgressReporter) -> tuple[Generator, GeneratorCard]:
    """Load the generator, and its card in the job's test mode."""
    generator, card = load_generator(file)
    run = Run(file.parent, file.parent.parent.name, None)
    if run.generator == file:
        check_generator(run, Made(run.folder))
        if not card.source.startswith(IMPORTED) and (wrong := flaw(run)):
            reporter.say(f"{file}: {wrong}")
    # The card records how outputs are made, so the choices of this call go into it.
    changed = {"test_dropout": job.dropout, "test_batch_norm": job.batch_norm, "seed": job.seed}
    card = card.model_copy(update={key: value for key, value in changed.items() if value is not None})
    if job.dropout and not card.architecture.dropout_blocks:
        raise UserError(f"--dropout on has no effect: {file} has no dropout layers; leave it out")
    if job.seed is not None and not (card.test_dropout and card.architecture.dropout_blocks):
        raise UserError(f"--seed {job.seed} has no effect: it is that of dropout's noise, which is off; leave it out")
    return generator, card


def _find_inputs(job: Translation, generator_file: Path, reporter: ProgressReporter) -> dict[str, Path]:
    """Find the pictures by id, and refuse an output folder that holds or lies in what is read."""
    if not job.inputs.is_dir():
        raise UserError(f"{job.inputs}: {found_at(job.inputs)}, expected a folder of pictures; check the path")
    # An output folder inside the inputs would be read as inputs by the next call.
    apart.check(job.out, [job.inputs, generator_file])
    passed_over: Counter[str] = Counter()
    inputs = pictures.find_recursive(job.inputs, passed_over)
    if line := pictures.passed_over_line(job.inputs, passed_over):
        reporter.say(line)
    if not inputs:
        raise UserError(f"{job.inputs}: found no pictures; expected PNG, JPEG or TIFF files in it or below it")
    apart.check(job.out, inputs.values())  # which may be linked from elsewhere
    return inputs


def bare_dataset(card: GeneratorCard) -> Dataset:
    """Open a generator's dataset without files, for its conversions.

    Raises:
        UserError: the card names a dataset unknown to this version.
    """
    if card.dataset not in DATASETS:
        raise UserError(f"the generator was trained on dataset '{card.dataset}', which this version does not know")
    return DATASETS[card.dataset](None, card.direction, files=False)


def _input(path: Path, dataset: Dataset, card: GeneratorCard) -> tuple[Picture, str]:
    """Read a file as an input of the generator's channels and depth, and describe the file's kind.

    As in training, grey is repeated for a generator of colours and colours become grey for one of grey. Depth is never
    changed: which values of 16 bits correspond to those of 8 is for the user to say.
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


def _remark(kind: str, files: Sequence[str]) -> str:
    more = ", ..." if len(files) > MOST_NAMED else ""
    return f"{counted(len(files), 'picture')} of {kind}: {', '.join(files[:MOST_NAMED])}{more}"


def _may_be_pair(values: Picture, dataset: Dataset) -> bool:
    """Whether an input of a generator of pairs has the shape of a whole pair, A|B side by side."""
    return isinstance(dataset, (PairedDataset, Folders)) and values.shape[1] == 2 * values.shape[0]


def _pair_remark(path: Path, dataset: Dataset) -> str:
    side, half = ("A", "left") if dataset.direction == A_TO_B else ("B", "right")
    return (
        f"{path}: is twice as wide as high, and taken as one picture; "
        f"if it is A|B side by side, give {side} alone, its {half} half"
    )
