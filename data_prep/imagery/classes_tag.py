"""The tag by which a GeoTIFF names its classes (pure): "0 = background, 1 = building"."""

import re
from collections.abc import Sequence

CLASSES_TAG = "classes"


def classes_tag(names: Sequence[str]) -> str:
    """Return the tag of a file whose values are the indices of some classes, and 255 = no data."""
    return ", ".join(f"{index} = {name}" for index, name in enumerate(names))


def tagged_classes(tag: str) -> tuple[str, ...]:
    """Return the names that a tag tells; () if it has another form."""
    # A name may have a comma in it.
    entries = re.findall(r"(\d+) = (.*?)(?:, (?=\d+ = )|$)", tag, re.DOTALL)
    in_order = [int(index) for index, _ in entries] == list(range(len(entries)))
    return tuple(name for _, name in entries) if in_order else ()
