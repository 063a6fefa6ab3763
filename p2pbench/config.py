"""Settings of runs and grids, their checks and effects.

One model holds every setting of a run. A run's settings are the defaults, then a task's or a grid's, then its cell's,
then what `--set` says; the paper's protocol is the default (docs/paper-protocol.md#networks and #training).
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from p2pbench.errors import UserError, check_text
from reports.store.errors import as_python
from reports.store.layout import SEEDS
from reports.store.names import counted
from reports.store.ranges import as_range

SMALLEST_IMAGE = 32
TERMS = ("L1", "L2", "GAN", "cGAN")

DatasetName = Literal["streets", "cityscapes", "camvid", "paired", "folders", "colorization", "inpainting", "edges"]
Direction = Literal[
    "labels-to-photo", "photo-to-labels", "AtoB", "BtoA", "grey-to-colour", "hole-to-photo", "edges-to-photo"
]
ReceptiveField = Literal[1, 16, 34, 70, 142, 286]
STRIDED_LAYERS = {16: 1, 34: 2, 70: 3, 142: 4, 286: 5}
"""Layers of stride 2 of a discriminator, by its receptive field; that of 1x1 has none."""


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("found an empty text, expected one")
    return text


def is_table(clusters: str) -> bool:
    """Whether clusters of items are a table, not a pattern."""
    return clusters.lower().endswith(".csv")


def check_clusters(asked: str) -> str:
    """Refuse what is neither a pattern nor a table.

    Whether the table is there is seen when it is needed.

    Args:
        asked: A regular expression with one group, found anywhere in an item's id: the cluster's name; or, where it
            ends in .csv, a table of items and clusters.

    Raises:
        ValueError: What was found, and what was expected.
    """
    if is_table(asked):
        return asked
    expected = "expected a pattern with one group, such as '^([^_]+)_', or a .csv file"
    try:
        groups = re.compile(asked).groups
    except re.error as error:
        raise ValueError(f"{expected}, found '{asked}': {error}") from None
    if groups != 1:
        raise ValueError(f"{expected}, found {counted(groups, 'group')} in '{asked}'")
    return asked


Seed = Annotated[int, Field(ge=0, lt=SEEDS)]
Positive = Annotated[int, Field(gt=0)]
MOST_THREADS = 1024  # beyond those of any machine, systems give a process no more
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotEmpty = Annotated[str, AfterValidator(_filled)]
ClustersSetting = Annotated[str, AfterValidator(check_clusters)]
Range = Annotated[tuple[float, float], BeforeValidator(as_range)]
Model = TypeVar("Model", bound=BaseModel)

Effect = Literal["items", "targets", "weights", "outputs", "intervals", "rounding", "location", "nothing"]
"""What a setting affects. All lists of settings are derived from it.

items: which items there are, and their decoded pictures; runs that agree on it share them.
targets: the targets of test items, which all cells of a grid must share to stand in one table.
weights: the training.
outputs: how the generator makes its outputs, beside its weights; part of every protocol, and of the generator's card.
intervals: intervals of scores alone.
rounding: the rounding of sums; runs of one cell may differ in it, as those of two machines do.
location: where the data lies; what the data is, is compared by its items.
nothing: no number.
"""


def setting(default: object, affects: str, meaning: str | None = None) -> Any:  # noqa: ANN401 (as pydantic's Field)
    """Declare a setting: default, effects, meaning."""
    return Field(default, description=meaning, json_schema_extra={"affects": affects})


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def __new__(cls, *args: object, **_: object) -> Self:
        if args:  # else pydantic speaks of its own BaseModel.__init__
            raise TypeError(f"found {args[0]!r:.60}, expected settings by name, as in {cls.__name__}(**settings)")
        return super().__new__(cls)

    @model_validator(mode="before")
    @classmethod
    def _of_python(cls, values: object) -> object:
        return as_python(values)


class RunConfig(_Settings):
    """Settings of one run, each with its effects.

    A run keeps the `threads` that it began with on a CPU.

    Example:
        >>> from p2pbench import RunConfig
        >>> RunConfig(dataset="camvid", root="data/camvid", image_size=128).objective
        'L1+cGAN'
    """

    dataset: DatasetName = setting("streets", "items targets")
    root: NotEmpty | None = setting(None, "location", "folder of the dataset; streets needs none")
    direction: Direction | None = setting(None, "items targets", "None takes the dataset's first")
    test_split: str | None = setting(None, "items targets", "None takes the dataset's own; see `p2pbench datasets`")
    train_items: Positive | None = setting(None, "items", "use only the first N; None takes all")
    test_items: Positive | None = setting(None, "items targets", "use only the first N; None takes all")
    image_size: int = setting(
        256, "items targets outputs", "side of the squares that networks see: a power of two from 32 up"
    )
    jitter: Annotated[float, Field(ge=1, le=4)] = setting(
        286 / 256, "items weights", "resize to this many times image_size, then crop at random; 1 is no jitter"
    )
    mirror: bool = setting(True, "weights", "flip half of the training pairs")
    input_channels: Positive | None = setting(None, "items targets", "None takes the widest of all items")
    output_channels: Positive | None = setting(None, "items targets", "None takes the widest of all items")
    input_range: Range | None = setting(
        None, "targets weights", "values that become -1 and 1; None is all of 8 or 16 bits"
    )
    output_range: Range | None = setting(
        None, "targets weights", "values that become -1 and 1; None is all of 8 or 16 bits"
    )

    objective: str = setting("L1+cGAN", "weights", "a sum of L1, L2, and GAN or cGAN")
    weight_l1: Weight = setting(100.0, "weights", "lambda of the L1 term")
    weight_l2: Weight = setting(100.0, "weights", "lambda of the L2 term")

    generator: Literal["unet", "encoder-decoder"] = setting("unet", "weights")
    ngf: Positive = setting(64, "weights", "width of the generator's first layer")
    bottleneck_norm: bool = setting(False, "weights", "batch norm at the bottleneck, as in the paper's own runs")
    receptive_field: ReceptiveField = setting(70, "weights", "of the discriminator, in pixels")
    ndf: Positive = setting(64, "weights", "width of the discriminator's first layer")

    epochs: Positive = setting(200, "weights")
    decay_epochs: Annotated[int, Field(ge=0)] = setting(0, "weights", "bring the rate to 0 over the last N epochs")
    batch_size: Positive = setting(1, "weights")
    learning_rate: Weight = setting(2e-4, "weights")
    beta1: Annotated[float, Field(ge=0, lt=1)] = setting(0.5, "weights")
    beta2: Annotated[float, Field(ge=0, lt=1)] = setting(0.999, "weights")
    seed: Seed = setting(0, "weights")

    # Where the released code departs from the paper's text (docs/paper-protocol.md#released-code).
    halve_discriminator_loss: bool = setting(True, "weights", "the released code halves the printed value alone")
    adversarial_gradient: Literal["after-update", "before-update"] = setting(
        "after-update",
        "weights",
        "from a pass after the discriminator's step, or the one before; the released code mixes both",
    )
    zero_conv_bias: bool = setting(
        False, "weights", "zero convolution biases once a step; the released code does so twice"
    )
    crop_from_one: bool = setting(False, "weights", "never draw a crop offset of 0, as the released code does")

    precision: Literal["auto", "float32", "tf32", "bf16"] = setting(
        "auto", "weights", "of the networks in training; auto is bf16 on a GPU that has it, else float32"
    )

    test_dropout: bool = setting(True, "outputs", "dropout at test time: the generator's only noise")
    test_batch_norm: Literal["batch", "running"] = setting("batch", "outputs", "statistics at test time")

    clusters: ClustersSetting | None = setting(
        None,
        "intervals",
        "which test items vary together: a pattern whose one group is found in their names, or a .csv of "
        "items and clusters; None takes camvid's sequences and cityscapes' cities; (.*) takes each item alone",
    )
    log_every: Positive = setting(10, "nothing", "steps from one row of losses.csv to the next")
    checkpoint_seconds: Annotated[float, Field(ge=0)] = setting(120.0, "nothing", "0 saves after every step")
    tensorboard: bool = setting(False, "nothing", "write event files too")
    device: str = setting("auto", "nothing", "auto, cpu, cuda, cuda:1 ...")
    threads: Annotated[int, Field(gt=0, le=MOST_THREADS)] | None = setting(
        None,
        "rounding",
        "on a CPU; None divides the cores among concurrent runs (Ray: one thread per run); the number affects "
        "rounding, so a run keeps the one that it began with; 1 is best for small networks",
    )

    @model_validator(mode="after")
    def _check(self) -> RunConfig:
        check_image_size(self.image_size)
        terms = self.terms
        unknown = [term for term in terms if term not in TERMS]
        if unknown or len(set(terms)) < len(terms) or {"GAN", "cGAN"} <= set(terms):
            raise ValueError(
                "key 'objective': expected a sum of L1, L2, and GAN or cGAN, each once, such as \"L1+cGAN\", "
                f'found "{self.objective}"'
            )
        if self.decay_epochs > self.epochs:
            raise ValueError(f"key 'decay_epochs': expected at most epochs, {self.epochs}, found {self.decay_epochs}")
        for name in ("input_range", "output_range"):
            if getattr(self, name) is not None and self.dataset == "colorization":
                raise ValueError(f"key '{name}': colorization translates L to ab, whose ranges are fixed; leave it out")
        if self.adversarial and self.image_size < (needed := smallest_image(self.receptive_field)):
            raise ValueError(
                f"key 'receptive_field': a discriminator of {self.receptive_field} needs an image_size of at least "
                f"{needed}, found {self.image_size}; take a larger image_size or a smaller receptive_field"
            )
        return self

    @property
    def terms(self) -> tuple[str, ...]:
        """The objective's terms, such as ("L1", "cGAN")."""
        return tuple(term.strip() for term in self.objective.split("+"))

    @property
    def adversarial(self) -> bool:
        """Whether there is a discriminator at all."""
        return "GAN" in self.terms or "cGAN" in self.terms

    @property
    def conditional(self) -> bool:
        """Whether the discriminator sees the input."""
        return "cGAN" in self.terms

    @property
    def load_side(self) -> int:
        """Side of the squares that are loaded, before the crop."""
        return round(self.image_size * self.jitter)

    def with_absolute_root(self) -> RunConfig:
        """The same settings, which find the same data from any working directory.

        Raises:
            UserError: The root's path is not UTF-8.
        """
        given = {"root": self.root, "clusters": self.clusters if self.clusters and is_table(self.clusters) else None}
        paths = {name: check_text(str(Path(path).expanduser().absolute())) for name, path in given.items() if path}
        return self.model_copy(update=paths)

    def without_effect(self, key: str) -> str | None:
        """Reason why a setting has no effect in this run, else None."""
        term = {"weight_l1": "L1", "weight_l2": "L2"}.get(key)
        if term is not None and term not in self.terms:
            return f"the objective {self.objective} has no {term}"
        if key in OF_DISCRIMINATOR and not self.adversarial:
            return f"the objective {self.objective} has no discriminator"
        if self.load_side == self.image_size and (key == "crop_from_one" or (key == "jitter" and self.jitter > 1)):
            return f"jitter = {self.jitter:g} leaves nothing to crop"
        return None


OF_DISCRIMINATOR = frozenset({"receptive_field", "ndf", "halve_discriminator_loss", "adversarial_gradient"})


def effects(key: str) -> frozenset[str]:
    """Effects of a setting; see `Effect`."""
    extra = RunConfig.model_fields[key].json_schema_extra
    return frozenset(str(extra["affects"]).split()) if isinstance(extra, dict) else frozenset()


def affecting(*kinds: Effect) -> tuple[str, ...]:
    """The settings that affect any of these, in the order of `RunConfig`."""
    return tuple(key for key in RunConfig.model_fields if effects(key) & set(kinds))


BOOKKEEPING = frozenset(affecting("nothing"))
NOT_IDENTITY = frozenset(RunConfig.model_fields) - set(affecting("items", "targets", "weights", "outputs"))
# All cells are tested on the same pictures, else their scores could not stand in one table.
SHARED = affecting("targets", "intervals", "location")


class GridConfig(_Settings):
    """Cells of one ablation with their shared settings.

    Settings are checked when the grid is trained.

    Example:
        >>> from p2pbench import GridConfig
        >>> GridConfig(title="widths", seeds=[0, 1], cells={"narrow": {"ngf": 16}, "wide": {"ngf": 64}}).seeds
        [0, 1]
    """

    title: NotEmpty
    source: str = Field("", description="where the ablation comes from, such as a table of the paper")
    seeds: list[Seed] = Field(default=[0], min_length=1)
    settings: dict[str, Any] = Field(default={}, description="settings that all cells share")
    cells: dict[str, dict[str, Any]] = Field(min_length=1, description="a cell's own settings, by its name")


class TaskConfig(_Settings):
    """One of the paper's translation problems with its settings."""

    title: str
    source: str
    note: str = Field("", description="what a user must know: where the data comes from, what is not certain")
    settings: dict[str, Any]


def check_image_size(size: int) -> None:
    """Raise ValueError unless a size is a power of two from 32."""
    if size >= SMALLEST_IMAGE and size & (size - 1) == 0:
        return
    below = 2 ** int(math.log2(size)) if size > SMALLEST_IMAGE else SMALLEST_IMAGE
    nearest = f"{below} or {2 * below}" if size > SMALLEST_IMAGE else f"{SMALLEST_IMAGE} or {2 * SMALLEST_IMAGE}"
    raise ValueError(f"key 'image_size': expected a power of two from {SMALLEST_IMAGE} up, found {size}; try {nearest}")


def smallest_image(receptive_field: int) -> int:
    """Smallest power of two with a discriminator output.

    Each strided layer halves the size, and the two last layers (4x4, stride 1, pad 1) remove one pixel each.
    """
    return 1 if receptive_field == 1 else int(4 * 2 ** STRIDED_LAYERS[receptive_field])


def run_config(settings: Mapping[str, Any], where: str) -> RunConfig:
    """The settings of a run, checked.

    Args:
        settings: names and values as they come out of a TOML file or `--set`.
        where: file or option that they come from, for the message.

    Raises:
        UserError: an unknown key, a wrong type or a value out of range: key, expected, found.
    """
    return _checked(settings, where, RunConfig)


def read_grid(path: Path) -> GridConfig:
    """A grid's TOML file.

    Raises:
        UserError: the file is missing or no TOML, or a key is unknown, missing or of a wrong type.
    """
    return _checked(read_toml(path), str(path), GridConfig)


def read_task(path: Path) -> TaskConfig:
    """A task's TOML file. Raises UserError as `read_grid` does."""
    return _checked(read_toml(path), str(path), TaskConfig)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raises UserError if missing or invalid."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        found = getattr(error, "strerror", None) or error
        raise UserError(f"{path}: cannot be read ({found}); expected a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: not valid TOML: {error}") from None


def parse_setting(text: str) -> tuple[str, Any]:
    """Parse a `key=value` of `--set`; raises UserError without `=`."""
    key, equals, value = text.partition("=")
    if not equals:
        raise UserError(f"--set {text}: expected key=value, such as --set epochs=2")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value.strip()


def _checked(settings: Mapping[str, Any], where: str, model: type[Model]) -> Model:
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        problems = "; ".join(_problem(problem, model) for problem in error.errors())
        raise UserError(f"{where}: {problems}") from None


def _problem(problem: ErrorDetails, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "value_error":  # ours, which name the key themselves where several settings do not fit
        said = problem["msg"].removeprefix("Value error, ")
        return f"key '{key}': {said}" if key else said
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, list(model.model_fields), n=1)
        meant = f"did you mean '{near[0]}'?" if near else f"expected one of {', '.join(model.model_fields)}"
        return f"key '{key}' is unknown; {meant}"
    if problem["type"] == "missing":
        return f"key '{key}' is missing"
    expected = problem["msg"].removeprefix("Input should be ").removeprefix("a valid ")
    return f"key '{key}': expected {expected}, found {problem['input']!r}"
