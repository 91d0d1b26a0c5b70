"""The one door to JSON that is written: it has no NaN and no infinity, so these become null."""

import json
import math
from collections.abc import Mapping
from typing import Any


def dumps(content: Any, **options: Any) -> str:
    """Write JSON that every parser takes.

    Args:
      content: What `json.dumps` takes.
      **options: Those of `json.dumps`.
    """
    return json.dumps(_finite(content), allow_nan=False, **options)


def _finite(content: Any) -> Any:
    """Return the same content with None for every NaN and every infinity, at any depth."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return content
