"""Words of captions and questions."""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+(?:-\w+)*|[^\w\s]")


def tokenize(text: str) -> list[str]:
    """Words in lower case."""
    return [word for word in _WORD.findall(text.lower()) if word[0].isalnum()]
