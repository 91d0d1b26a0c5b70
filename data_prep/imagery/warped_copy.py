"""Writes an image or a mask on the grid of another image, as a GeoTIFF."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.windows import Window as RasterioWindow

from data_prep.imagery.band_choice import BandChoice
from data_prep.imagery.bands import ImageRaster, ReadError
from data_prep.imagery.classes_tag import CLASSES_TAG
from data_prep.imagery.common_ground import CommonGround, bounds, common_ground, plain
from data_prep.imagery.files import is_raster, opened_raster, read_grid, reasoned
from data_prep.imagery.grid import Grid
from data_prep.imagery.image_file import ImageFile, open_image
from data_prep.imagery.new_raster import created_raster, windows
from data_prep.imagery.raster_bands import rasterio_window
from data_prep.imagery.turn import UPRIGHT, Window
from data_prep.imagery.warped_file import NEAREST, kernel_for, warped


@reasoned
def warp_image(image: Path, onto: Path, output: Path, choice: BandChoice) -> str:
    """Write an image, as seen, on the grid of another.

    Bands and their type are kept, a palette becomes colours. Pixels without data have the no-data
    value that the image declares; if it declares none, the file has a mask, which an alpha band
    becomes, too.

    Returns:
      What was done, as a sentence.

    Raises:
      ReadError: The images have no ground in common, one of them cannot be read, or the grid is
        none that can be written to.
    """
    target = _target(onto)
    with open_image(image, choice, by_windows=True) as source:
        ground = _checked(source.grid, target, onto)
        kernel = kernel_for(ground)
        nodata, interpretation = _header(image, source, choice)
        profile = {"count": source.num_bands, "dtype": source.dtype, "nodata": nodata}
        with created_raster(output, target, profile) as file:
            file.colorinterp = interpretation
            _copy(warped(source, target, kernel), file, nodata)
    return f"{kernel.in_words()}; it covers {ground.share:.1%} of {onto}"


@reasoned
def warp_mask(mask: Path, onto: Path, output: Path) -> str:
    """Write a mask, as stored, on the grid of an image: each pixel has the value of the nearest.

    Beyond the mask, pixels have its no-data value; if it declares none, the greatest value below
    255 that it does not hold, which is declared.

    Returns:
      What was done, as a sentence.

    Raises:
      ReadError: See `warp_image`; or the mask has more than one band, or not 8 bits a pixel.
    """
    target = _target(onto)
    with opened_raster(mask, by_windows=True) as file:
        grid = read_grid(mask)
        ground = _checked(grid, target, onto)
        if file.count != 1 or file.dtypes[0] != "uint8" or _num_bits(file) == 1:
            raise ReadError(
                'is warped as a mask only if it has one band of 8 bits (python -c "from PIL import'
                " Image; Image.open('IN').convert('L').save('OUT.tif')\" and a world file)"
            )

        def load(window: Window | None) -> ImageRaster:
            return ImageRaster(np.moveaxis(file.read(window=rasterio_window(window)), 0, -1))

        source = ImageFile(mask, grid, 1, "uint8", (), UPRIGHT, load)
        nodata = int(file.nodata) if file.nodata in range(256) else _unused(source)
        profile = {"count": 1, "dtype": "uint8", "nodata": nodata}
        with created_raster(output, target, profile) as copy:
            if names := file.tags().get(CLASSES_TAG):
                copy.update_tags(**{CLASSES_TAG: names})
            if file.colorinterp[0] == ColorInterp.palette:
                copy.write_colormap(1, file.colormap(1))
            _copy(warped(source, target, NEAREST), copy, nodata, is_mask=True)
    return f"warped by the nearest pixel; it covers {ground.share:.1%} of {onto}"


def _target(onto: Path) -> Grid:
    target = plain(read_grid(onto))
    if target is None or not target.is_placed:
        what = "does not say where it lies" if target else "lies by control points or polynomials"
        raise ReadError(f"cannot be warped onto {onto}, which {what}; name an image with a grid")
    return target


def _checked(grid: Grid, target: Grid, onto: Path) -> CommonGround:
    if not grid.is_placed:
        raise ReadError("does not say where it lies, so it cannot be warped")
    ground = common_ground(target, grid)
    if ground is None:
        raise ReadError(
            f"has no ground in common with {onto}: it covers {bounds(grid, target.crs)}, the other"
            f" {bounds(target, None)}"
        )
    return ground


def _header(
    path: Path, image: ImageFile, choice: BandChoice
) -> tuple[int | None, Sequence[ColorInterp]]:
    """Return the no-data value of the copy, or None, and what its bands are."""
    named = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
    default = named if image.num_bands == 3 else [ColorInterp.gray] * image.num_bands
    if not is_raster(path):
        return None, default
    with opened_raster(path, by_windows=True) as file:
        if file.colorinterp[0] == ColorInterp.palette:
            return None, default
        flagged = [i for i, c in enumerate(file.colorinterp) if c == ColorInterp.alpha]
        chosen, _ = choice.of(file.count, flagged[0] if flagged and file.count > 1 else None)
        greatest = np.iinfo(image.dtype).max
        declared = file.nodata if file.nodata in range(greatest + 1) else choice.nodata
        # An alpha band or a mask says more than the one value.
        says_more = any(MaskFlags.per_dataset in flags for flags in file.mask_flag_enums)
        nodata = None if declared is None or says_more else int(declared)
        return nodata, [file.colorinterp[i] for i in chosen]


def _num_bits(file: Any) -> int:
    return int(file.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8))


def _unused(mask: ImageFile) -> int:
    held: set[int] = set()
    for window in windows(mask.grid):
        held |= set(np.unique(mask.read(window).pixels).tolist())
    free = set(range(255)) - held
    if not free:
        raise ReadError("holds every value from 0 to 254; none is left for pixels beyond it")
    return max(free)


def _copy(image: ImageFile, file: Any, nodata: int | None, *, is_mask: bool = False) -> None:
    for window in windows(image.grid):
        raster = image.read(window)
        valid = np.ones(raster.pixels.shape[:2], bool) if raster.valid is None else raster.valid
        pixels = raster.pixels
        if nodata is not None:
            if not is_mask:  # Interpolated to the no-data value, a pixel would be lost.
                alike = valid & (pixels == nodata).all(axis=-1)
                pixels = np.where(alike[..., None], nodata - 1 if nodata else 1, pixels)
            pixels = np.where(valid[..., None], pixels, nodata).astype(image.dtype)
        where: RasterioWindow | None = rasterio_window(window)
        file.write(np.moveaxis(pixels, -1, 0), window=where)
        if nodata is None:
            file.write_mask(valid, window=where)
