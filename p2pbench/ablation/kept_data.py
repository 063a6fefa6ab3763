"""The data that a worker process keeps from one run to the next."""

from __future__ import annotations

from p2pbench.ablation.data import Data, data_key, open_data
from p2pbench.config import RunConfig


class KeptData:
    """Data by what decides them, each opened once."""

    def __init__(self) -> None:
        self._opened: dict[tuple[object, ...], Data] = {}

    def of(self, config: RunConfig) -> Data:
        """The data of a run. Raises UserError as `open_data` does."""
        key = data_key(config)
        if key not in self._opened:
            self._opened[key] = open_data(config, lambda done, total: None)
        return self._opened[key]
