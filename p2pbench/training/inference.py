"""Generator inference for test items, pictures and tensors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
import torch
from torch import Tensor

from p2pbench.config import run_config
from p2pbench.datasets import pictures, transforms
from p2pbench.datasets.catalogue import DATASETS
from p2pbench.datasets.dataset import Dataset, LabelledPhotos
from p2pbench.datasets.decoders import Picture
from p2pbench.datasets.transforms import from_network, to_network
from p2pbench.errors import UserError
from p2pbench.networks.generator import BatchNormMode, Generator, test_mode
from p2pbench.runtime.device import pick_device
from p2pbench.runtime.result_tables import Displayed, ShownCell, ShownTable
from p2pbench.training.generator_file import IMPORTED, GeneratorCard, input_bits, read_generator
from p2pbench.training.leftovers import check_generator
from p2pbench.training.seeding import Purpose, item_number, torch_seed
from reports.store.arithmetic import flaw
from reports.store.errors import checked_arguments
from reports.store.layout import Run
from reports.store.made import Made
from reports.store.names import counted, item_id

LARGEST_INPUT = 1.001  # of values -1 to 1, which computing them may round
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
        """Set the generator to test mode for a block.

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
        x = to_network(torch.tensor(values).permute(2, 0, 1)[None], self._card.input_range)
        output = self.batch(self._dataset.finish_input(x), item_id)[0]
        bits = f"uint{self._card.output_bits}"
        return self._dataset.to_picture(values, from_network(output, self._card.output_range, bits))

    def batch(self, x: Tensor, item_id: str) -> Tensor:
        """Translate inputs (B, C, H, W), -1 to 1, into such outputs.

        Raises:
            UserError: an output value is not finite.
        """
        height, width = x.shape[-2:]
        # Finished before padding: inpainting's hole is centred in the picture itself.
        padded = pad_to_stride(x, self._generator.depth)
        torch.manual_seed(torch_seed(self._card.seed, Purpose.TEST, item_number(item_id)))
        output: Tensor = self._generator(padded.to(self._device))
        if not torch.isfinite(output).all():
            raise UserError(
                f"the output for {item_id} holds NaN or infinite values: the generator is of a training that failed; "
                "train anew, or give another"
            )
        return output[..., :height, :width]


def pad_to_stride(batch: Tensor, depth: int) -> Tensor:
    """Mirror inputs (B, C, H, W) to multiples of 2**depth.

    Beyond their right and lower edges.
    """
    stride = 2**depth
    height, width = batch.shape[-2:]
    padding = ((0, 0), (0, 0), (0, -height % stride), (0, -width % stride))
    return torch.from_numpy(np.pad(batch.numpy(), padding, mode="symmetric"))


def as_picture(values: Tensor) -> Picture:
    """Convert picture values (C, H, W) to a picture (H, W, C)."""
    picture: Picture = values.permute(1, 2, 0).contiguous().cpu().numpy()
    return picture


@dataclass(frozen=True, repr=False, eq=False)
class LoadedGenerator(Displayed):
    """Trained generator in its test mode; made by `load_generator`.

    Called with pictures or tensors.

    Attributes:
        file: Its file.
        network: The network, on its device.
        card: Architecture, data format and test mode.
        dataset: Converts pictures as in training.
        notes: Known or possible defects of its training, one line each.
    """

    file: Path
    network: Generator
    card: GeneratorCard
    dataset: Dataset
    notes: tuple[str, ...] = ()

    @overload
    def __call__(self, picture: str | Path | Picture, item: str | None = None) -> Picture: ...

    @overload
    def __call__(self, picture: Tensor, item: str | None = None) -> Tensor: ...

    def __call__(self, picture: str | Path | Picture | Tensor, item: str | None = None) -> Picture | Tensor:
        """Translate a picture, or a batch of network inputs, of any size.

        Args:
            picture: A file; a picture (H, W, C) or (H, W), uint8 or uint16 as the generator was trained on; or a tensor
                (B, C, H, W), -1 to 1, as the network sees it.
            item: Id from which dropout's noise is drawn; None takes the file's name, or "picture".

        Returns:
            A picture (H, W, C), or for a tensor a tensor (B, C, H, W), -1 to 1, on the same device.

        Raises:
            UserError: The picture is none of these, its file cannot be read, shape, channels or depth are not those of
                the generator's inputs, or an output value is not finite.
        """
        if not isinstance(picture, str | Path | np.ndarray | Tensor) or not isinstance(item, str | None):
            raise UserError(
                f"found a {type(picture).__name__} and item {item!r}, expected a file, an array (H, W, C) or a tensor "
                "(B, C, H, W), and a text or None; numpy.asarray makes an array of Pillow's pictures"
            )
        if isinstance(picture, Tensor):
            _check_batch(picture, self.card.architecture.input_channels)
        with Translator(self.network, self.card, self.dataset).open() as translate:
            if isinstance(picture, np.ndarray):
                return translate(self._checked(picture, Path("the picture")), item or "picture")
            if not isinstance(picture, Tensor):
                file = Path(picture)
                return translate(self.input_of(file)[0], item or item_id(file.stem))
            output = translate.batch(picture.detach().cpu().float(), item or "picture").to(picture.device)
        return output.clone()  # a copy made outside inference mode may take part in other computations

    @checked_arguments(UserError)
    def input_of(self, path: str | Path) -> tuple[Picture, str]:
        """Read a file as a generator input, and describe its kind.

        As in training, grey is repeated for a generator of colours and colours become grey for one of grey. Depth is
        never changed: which values of 16 bits correspond to those of 8 is for the user to say.
        """
        path = Path(path)
        picture = pictures.read(path)
        values, channels = self.dataset.from_picture(picture, path), self.card.architecture.input_channels
        kind = f"{counted(picture.shape[2], 'channel')} of {8 * picture.itemsize} bits"
        if values.shape[2] != channels:
            kind += f", brought to {channels}"
        return self._fitted(values, path), kind

    def tables(self) -> list[ShownTable]:
        """A row per property."""
        card, shape = self.card, self.card.architecture
        rows = {
            "translates": f"{card.dataset}, {card.direction}",
            "channels": f"{shape.input_channels} to {shape.output_channels}",
            "network": f"{'U-Net' if shape.skips else 'encoder-decoder'}, ngf {shape.ngf}",
            "trained at": f"{card.image_size}x{card.image_size}",
            "test mode": f"dropout {'on' if card.test_dropout else 'off'}, batch norm {card.test_batch_norm}",
            "source": card.source,
        }
        cells = [[ShownCell(name), ShownCell(text)] for name, text in rows.items()]
        return [ShownTable(f"Generator {self.file}", ("", ""), cells, self.notes)]

    def _checked(self, picture: Picture, name: Path) -> Picture:
        """A picture in memory as an input of the network."""
        picture = picture[..., None] if picture.ndim == 2 else picture
        if picture.ndim != 3 or picture.dtype not in (np.uint8, np.uint16) or not picture.size:
            raise UserError(
                f"found an array {picture.shape} of {picture.dtype}, expected a picture (H, W, C) of uint8 or uint16"
            )
        if isinstance(self.dataset, LabelledPhotos) and picture.shape[2] == 1:
            picture = self.dataset.input_of_values(picture[..., 0], name)
        else:
            picture = self.dataset.from_picture(picture, name)
        return self._fitted(picture, name)

    def _fitted(self, values: Picture, path: Path) -> Picture:
        bits, expected = 8 * values.itemsize, input_bits(self.card)
        if expected is not None and bits != expected:
            raise UserError(
                f"{path}: found {bits} bits a channel, expected {expected}, as the generator was trained on; convert it"
            )
        return transforms.convert(values, self.card.architecture.input_channels, path)


def _check_batch(batch: Tensor, channels: int) -> None:
    """Refuse a tensor that no network was trained on, such as 0 to 255: its outputs would look like outputs."""
    found = f"a tensor {tuple(batch.shape)} of {str(batch.dtype).removeprefix('torch.')}"
    shaped = batch.ndim == 4 and batch.shape[1] == channels and batch.is_floating_point() and batch.numel() > 0
    if shaped:
        least, most = batch.detach().aminmax()
        found += f" with values {float(least):g} to {float(most):g}"
        if least >= -LARGEST_INPUT and most <= LARGEST_INPUT:  # false for NaN
            return
    raise UserError(
        f"found {found}, expected (B, {channels}, H, W) of floats -1 to 1; scale it, or give the picture as uint8 or "
        "uint16 (H, W, C)"
    )


@checked_arguments(UserError)
def load_generator(
    path: str | Path,
    *,
    dropout: bool | None = None,
    batch_norm: BatchNormMode | None = None,
    seed: int | None = None,
    device: str = "auto",
) -> LoadedGenerator:
    """Load a trained generator, to be called with pictures or tensors.

    Args:
        path: The folder of a finished run, or a `generator.safetensors`.
        dropout: On or off at test time; None keeps what its run was tested with; the paper: on.
        batch_norm: "batch" or "running" statistics; None as for dropout; the paper: batch.
        seed: Of dropout's noise; None keeps the run's.
        device: auto, cpu, cuda or cuda:1.

    Raises:
        UserError: No generator is there, the device is not, or a switch has no effect or another value than these.

    Example:
        >>> import numpy, torch
        >>> from p2pbench import load_generator
        >>> generator = load_generator("results/losses/L1/seed-0", dropout=False, device="cpu")
        >>> photo = generator("results/losses/input/images/test-00000.png")  # also an array, of any size
        >>> photo.shape, photo.dtype
        ((32, 32, 3), dtype('uint8'))
        >>> generator(torch.zeros(2, 3, 40, 56)).shape  # or what the network sees, from -1 to 1
        torch.Size([2, 3, 40, 56])
    """
    chosen, file = pick_device(device), Path(path)  # a device that is not there is known before anything is read
    file = file / "generator.safetensors" if file.is_dir() else file
    network, card = read_generator(file)
    run, notes = Run(file.parent, file.parent.parent.name, None), []
    if run.generator == file:
        check_generator(run, Made(run.folder))
        if not card.source.startswith(IMPORTED) and (wrong := flaw(run)):
            notes.append(f"{file}: {wrong}")
    switches = {"test_dropout": dropout, "test_batch_norm": batch_norm, "seed": seed}
    changed = {key: value for key, value in switches.items() if value is not None}
    run_config(changed, "load_generator")  # `model_copy` takes any value
    card = card.model_copy(update=changed)
    if dropout and not card.architecture.dropout_blocks:
        raise UserError(f"dropout on has no effect: {file} has no dropout layers; leave it out")
    if seed is not None and not (card.test_dropout and card.architecture.dropout_blocks):
        raise UserError(f"seed {seed} has no effect: it is that of dropout's noise, which is off; leave it out")
    return LoadedGenerator(file, network.to(chosen), card, bare_dataset(card), tuple(notes))


def bare_dataset(card: GeneratorCard) -> Dataset:
    """Open a generator's dataset without its files.

    For its conversions of inputs and outputs.

    Raises:
        UserError: the card names a dataset unknown to this version.
    """
    if card.dataset not in DATASETS:
        raise UserError(f"the generator was trained on dataset '{card.dataset}', which this version does not know")
    return DATASETS[card.dataset](None, card.direction, files=False)
