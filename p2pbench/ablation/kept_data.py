"""The data that a worker process keeps from one run to the next."""

from __future__ import annotations

from p2pbench.ablation.data import Data, data_key, open_data
from p2pbench.config import RunConfig
from p2pbench.datasets.cache import Advance


class KeptData:
    """Data by what decides them, each opened once."""

    def __init__(self) -> None:
        self._opened: dict[tuple[object, ...], Data] = {}

    def of(self, config: RunConfig, advance: Advance = lambda done, total: None) -> Data:
        """The data of a run. Raises UserError as `open_data` does, and whatever `advance` raises."""
        key = data_key(config)
        if key not in self._opened:
            self._opened[key] = open_data(config, advance)
        return self._opened[key]
