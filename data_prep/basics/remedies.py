"""What mends a file that is rejected: a table from reasons to commands and options.

Whoever makes a reason adds its remedy here: a pattern that is searched in the reason, and what to
do. A reason that names its own remedy needs none. The list of rejected files shows it once for all
files of one reason.
"""

import re

_TO_RGB = (
    "convert it: python -c \"from PIL import Image; Image.open('IN').convert('RGB').save('OUT.png')"
    '"'
)
REMEDIES: tuple[tuple[str, str], ...] = (
    (r"pixels of mode (CMYK|YCbCr|LAB|HSV)", _TO_RGB),
    (
        r"\.(gif|bmp|webp) files are not read",
        "convert it: python -c \"from PIL import Image; Image.open('IN').save('OUT.png')\"",
    ),
    (
        r"\.(jp2|img|vrt|hdf|nc|ecw) files are not read",
        "convert it: gdal_translate IN OUT.tif",
    ),
    (
        r"more than \d+: cut it into smaller scenes",
        "gdal_retile.py -ps 8192 8192 -targetDir OUT IN",
    ),
)


def remedy(reason: str) -> str | None:
    """Return what mends a file of this reason; None if nothing is known to."""
    return next((text for pattern, text in REMEDIES if re.search(pattern, reason)), None)
