"""What every dataset reader is: named in a config by its class, with plain paths as fields, and read with `read()`."""

from __future__ import annotations

from abc import ABC, abstractmethod

from common.data.records import CaptionRecord, VQARecord


class CaptionSource(ABC):
    """Somewhere that captioned pictures come from."""

    @abstractmethod
    def read(self) -> list[CaptionRecord]:
        """All records, with image files that exist; DataError in one line for what cannot be used."""


class VQASource(ABC):
    """Somewhere that questions about pictures come from."""

    @abstractmethod
    def read(self) -> list[VQARecord]:
        """All records, with image files that exist; DataError in one line for what cannot be used."""
