from __future__ import annotations

import pytest
import torch

from common.data.batches import ImageBatch
from common.encoders import StoredRegions
from common.errors import DataError


def test_stored_regions_are_known_by_name_and_width_and_cannot_be_computed() -> None:
    stored = StoredRegions("bottom-up-36", 2048)
    assert (stored.dim, stored.frozen, stored.needs_cache, stored.needs_boxes) == (2048, True, True, False)
    assert stored.fingerprint() == StoredRegions("bottom-up-36", 2048).fingerprint()
    assert stored.fingerprint() not in (
        StoredRegions("bottom-up", 2048).fingerprint(),
        StoredRegions("bottom-up-36", 1),
    )
    with pytest.raises(DataError, match="the regions 'bottom-up-36' are stored, not computed"):
        stored(ImageBatch(torch.zeros(1, 3, 1, 1, dtype=torch.uint8), torch.zeros(1, 4)))
