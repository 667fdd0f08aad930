"""Regions that somebody else's detector has found and described: they are read, and cannot be computed."""

from __future__ import annotations

from common.attention.visual import VisualFeatures
from common.data.batches import ImageBatch
from common.data.images import Preprocessing
from common.encoders.image import VisualEncoder
from common.errors import DataError


class StoredRegions(VisualEncoder):
    """Stands for an extractor that is not there, such as bottom-up attention's (Anderson et al. 2018).

    The regions come from a cache alone (`loading.cache`), into which `scripts/extract_features.py` converts what was
    downloaded. A model trained on them can be evaluated on pictures that have some, and on no others.

    Args:
        name: what the regions are called, as given to the script.
        dim: their width.
    """

    needs_cache = True
    preprocessing = Preprocessing((1, 1))  # no picture is looked at

    def __init__(self, name: str, dim: int) -> None:
        super().__init__()
        self.name = name
        self.dim = dim

    @property
    def frozen(self) -> bool:
        """Always: there is nothing to train."""
        return True

    def fingerprint(self) -> str:
        """The name, since there are no weights to go by."""
        return f"{self.name} x {self.dim}"

    def extra_repr(self) -> str:
        """Name and width."""
        return f"{self.name}, dim={self.dim}"

    def forward(self, images: ImageBatch) -> VisualFeatures:
        """Cannot be done.

        Raises:
            DataError: always.
        """
        raise DataError(f"the regions {self.name!r} are stored, not computed: pictures without them cannot be used")
