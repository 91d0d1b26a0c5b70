"""Writes class maps for tests, and reads and burns polygons."""

import numpy as np
import rasterio
import shapely
from raster_files import write_tiff
from rasterio.features import rasterize

CLASSES = ("background", "building", "water")


def write_map(path, classes, names=CLASSES, **profile):
    """Write class indices [H, W] with the names in the tags, as `predict` does."""
    write_tiff(path, classes[..., None], **{"nodata": 255} | profile)
    if names:
        tag_classes(path, ", ".join(f"{k} = {name}" for k, name in enumerate(names)))
    return str(path)


def tag_classes(path, text):
    with rasterio.open(path, "r+") as target:
        target.update_tags(classes=text)


def write_probability(path, values, **profile):
    write_tiff(path, values[..., None], **profile)
    return str(path)


def read(path):
    """Return the polygons of a file and its columns."""
    import pyarrow.parquet  # of the extra gis
    import pyogrio

    if str(path).endswith(".parquet"):
        table = pyarrow.parquet.read_table(path)
        columns = table.to_pydict()
        return shapely.from_wkb(np.array(columns.pop("geometry"), object)), columns
    meta, _, geometry, values = pyogrio.raw.read(path)
    fields = zip(meta["fields"], values, strict=True)
    return shapely.from_wkb(geometry), {name: column.tolist() for name, column in fields}


def burn(polygons, indices, shape, transform=None):
    """Draw polygons with their class indices: [H, W], 0 where there is none."""
    if not len(polygons):
        return np.zeros(shape, np.uint8)
    place = {} if transform is None else {"transform": transform}
    return rasterize(zip(polygons, indices, strict=True), out_shape=shape, dtype=np.uint8, **place)
