"""Draws image files with the options of GDAL's drivers that people use, and what they show."""

import dataclasses
import itertools

import numpy as np
import rasterio
import rasterio.shutil
from PIL import Image
from rasterio import Affine
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC

HEIGHT, WIDTH = 48, 64
CRS = "EPSG:32633"
CHOICES = {
    "driver": ("GTiff", "GTiff", "GTiff", "GTiff", "PNG", "JPEG", "VRT", "JP2OpenJPEG"),
    "dtype": ("uint8", "uint8", "uint8", "uint16", "int16", "float32"),
    "bands": (1, 3, 3, 3, 4, 5),
    "photometric": ("plain", "plain", "RGB", "MINISWHITE", "CMYK", "YCBCR", "palette"),
    "compress": ("none", "deflate", "lzw", "packbits", "zstd", "lzma", "jpeg", "lerc"),
    "predictor": (1, 1, 2, 3),
    "tiled": (False, True),
    "interleave": ("pixel", "band"),
    "endianness": ("LITTLE", "BIG"),
    "bigtiff": ("NO", "YES"),
    "nbits": (0, 0, 0, 1, 4, 12),
    "no_data": ("none", "none", "value", "internal mask", "mask file", "alpha", "two values"),
    "overviews": (False, True),
    "scale": (False, True),
    "place": (
        "transform",
        "transform",
        "none",
        "world file",
        "south-up",
        "rotated",
        "points",
        "polynomials",
    ),
    "orientation": (1, 1, 1, 3, 6, 8),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """One value of each choice."""

    driver: str
    dtype: str
    bands: int
    photometric: str
    compress: str
    predictor: int
    tiled: bool
    interleave: str
    endianness: str
    bigtiff: str
    nbits: int
    no_data: str
    overviews: bool
    scale: bool
    place: str
    orientation: int


def draw(rng, **fixed):
    """Draw options at random; combinations that no driver writes are drawn again."""
    while True:
        drawn = {key: values[rng.integers(len(values))] for key, values in CHOICES.items()}
        options = Options(**drawn | fixed)
        if _can_be_written(options):
            return options


def _can_be_written(o):
    plain_tiff = o.driver == "GTiff"
    checks = (
        plain_tiff or o.photometric in ("plain", "palette"),
        plain_tiff or (o.compress == "none" and not o.nbits and o.predictor == 1),
        o.photometric not in ("RGB", "YCBCR") or o.bands == 3,
        o.photometric != "CMYK" or (o.bands == 4 and o.dtype == "uint8" and o.no_data == "none"),
        o.photometric not in ("MINISWHITE", "palette") or o.bands == 1,
        o.photometric != "palette" or (o.dtype == "uint8" and o.driver in ("GTiff", "PNG")),
        o.photometric != "YCBCR" or (o.compress == "jpeg" and o.interleave == "pixel"),
        o.compress != "jpeg" or (o.dtype == "uint8" and o.photometric != "palette" and not o.nbits),
        o.compress != "lerc" or o.dtype != "int16",
        o.predictor == 1 or (o.compress in ("deflate", "lzw", "zstd") and not o.nbits),
        o.predictor != 3 or o.dtype == "float32",
        not o.nbits or (o.dtype == ("uint16" if o.nbits == 12 else "uint8")),
        not o.nbits or o.photometric in ("plain", "MINISWHITE"),
        not o.nbits or o.compress in ("none", "deflate", "lzw"),
        o.driver != "JPEG" or (o.dtype == "uint8" and o.bands in (1, 3)),
        o.driver != "PNG" or (o.dtype in ("uint8", "uint16") and o.bands in (1, 3)),
        o.driver != "JP2OpenJPEG" or (o.dtype in ("uint8", "uint16", "int16")),
        o.no_data != "alpha" or (o.bands in (1, 3) and o.photometric in ("plain", "RGB")),
        o.no_data != "alpha" or o.driver in ("GTiff", "PNG", "VRT"),
        o.no_data != "alpha" or o.compress != "jpeg",  # which would make a noise of it
        o.no_data not in ("internal mask", "mask file") or o.driver in ("GTiff", "VRT"),
        o.no_data in ("none", "alpha") or o.photometric not in ("palette", "YCBCR", "CMYK"),
        o.no_data in ("none", "alpha") or not (o.nbits or o.compress == "jpeg"),
        o.no_data in ("none", "alpha") or o.driver != "JPEG",
        o.no_data != "two values" or o.bands > 1,
        o.compress != "jpeg" or (o.interleave == "pixel" and o.bands in (1, 3)),
        o.dtype != "int16" or o.photometric != "MINISWHITE",
        o.orientation == 1 or o.driver in ("PNG", "JPEG"),
        o.driver not in ("PNG", "JPEG", "JP2OpenJPEG")
        or o.place not in ("south-up", "points", "polynomials"),
        not o.scale or plain_tiff,
        not o.overviews or plain_tiff,
        o.place != "world file" or o.driver != "VRT",
    )
    return all(checks)


def georeference(options, number):
    """The profile's part that says where scene `number` lies, far from all others."""
    x, y = 400_000.0 + 2000 * number, 5_000_000.0
    if options.place == "none":
        return {}
    if options.place == "polynomials":
        return {"rpcs": _polynomials(number)}
    if options.place == "points":
        corners = itertools.product((0, HEIGHT), (0, WIDTH))
        points = [GroundControlPoint(r, c, x + c / 2, y - r / 2) for r, c in corners]
        return {"gcps": points, "crs": CRS}
    transform = Affine(0.5, 0, x, 0, -0.5, y)
    if options.place == "south-up":
        transform = Affine(0.5, 0, x, 0, 0.5, y)
    if options.place == "rotated":
        transform = Affine(0.4, 0.3, x, 0.3, -0.4, y)
    return {"transform": transform, "crs": CRS}


def _polynomials(number):
    """A camera that looks straight down, far from that of any other number."""
    line, sample = [0.0] * 20, [0.0] * 20
    line[2], sample[1] = -1.0, 1.0
    return RPC(
        height_off=0.0,
        height_scale=500.0,
        lat_off=45.0,
        lat_scale=1e-4,
        long_off=-60.0 + number / 100,
        long_scale=1e-4,
        line_off=HEIGHT / 2,
        line_scale=HEIGHT / 2,
        samp_off=WIDTH / 2,
        samp_scale=WIDTH / 2,
        line_num_coeff=line,
        line_den_coeff=[1.0] + [0.0] * 19,
        samp_num_coeff=sample,
        samp_den_coeff=[1.0] + [0.0] * 19,
    )


def write(path, options, number):
    """Write an image without a suffix in `path`; return its path and what it shows.

    Returns:
      path, pixels [H, W, C] as seen, valid [H, W], how far valid pixels may be off.
    """
    rng = np.random.default_rng(number)
    bands = options.bands + (options.no_data == "alpha")
    dtype = np.dtype(options.dtype)
    bits = options.nbits or (15 if dtype == np.int16 else min(16, 8 * dtype.itemsize))
    greatest = 2**bits - 1
    least = 2 if bits > 1 else 0  # 0 is no data, and 1 what LERC or JPEG may make of it.
    stored = rng.integers(least, greatest, (HEIGHT, WIDTH, bands), endpoint=True)
    stored = stored.astype(dtype)
    valid = np.ones((HEIGHT, WIDTH), bool)
    valid[5:9, 7:20] = options.no_data == "none"
    if options.no_data == "alpha":
        stored[..., -1] = np.where(valid, greatest, 0)
    if options.no_data == "two values":  # No-data in one band alone is data.
        stored[0, 0, 0] = 0
    if options.no_data in ("value", "two values"):
        stored[~valid] = 0
    suffix = {"GTiff": ".tif", "PNG": ".png", "JPEG": ".jpg", "VRT": ".vrt", "JP2OpenJPEG": ".jp2"}
    path = path.with_suffix(suffix[options.driver])
    _write(path, stored, valid, options, number)
    seen, valid = _seen(stored, valid, options)
    lossy = options.driver == "JPEG" or options.compress == "jpeg"
    # The noise that is drawn is the worst that JPEG can meet; CMYK is rounded in two ways.
    return path, seen, valid, 255 if lossy else int(options.photometric == "CMYK")


def _write(path, stored, valid, o, number):
    if o.driver in ("PNG", "JPEG") and (o.orientation != 1 or o.photometric == "palette"):
        exif = Image.Exif()
        exif[0x0112] = o.orientation
        pixels = stored[..., 0] if stored.shape[-1] == 1 else stored
        picture = Image.fromarray(pixels)
        if o.photometric == "palette":
            picture = picture.convert("P")
            picture.putpalette(_TABLE[:, :3].tobytes())
        picture.save(path, exif=exif, **({"quality": 95} if o.driver == "JPEG" else {}))
        return
    target = path.with_suffix(".inside.tif") if o.driver == "VRT" else path
    profile = {"driver": "GTiff" if o.driver == "VRT" else o.driver}
    profile |= {"height": HEIGHT, "width": WIDTH, "count": stored.shape[-1], "dtype": stored.dtype}
    profile |= georeference(o, number) if o.place != "world file" else {}
    if profile["driver"] == "GTiff":
        profile |= {"compress": o.compress, "interleave": o.interleave, "ENDIANNESS": o.endianness}
        profile |= {"BIGTIFF": o.bigtiff, "tiled": o.tiled}
        profile |= {"blockxsize": 16, "blockysize": 32} if o.tiled else {"blockysize": 16}
        profile |= {"predictor": o.predictor} if o.predictor > 1 else {}
        profile |= {"nbits": o.nbits} if o.nbits else {}
        if o.photometric not in ("plain", "palette"):
            profile["photometric"] = o.photometric
        else:
            profile["photometric"] = "RGB" if o.bands == 3 else "MINISBLACK"
        if o.no_data == "alpha":
            profile["alpha"] = "YES"
    if o.driver == "JP2OpenJPEG":
        profile |= {"QUALITY": 100, "REVERSIBLE": "YES", "YCBCR420": "NO"}
    if o.no_data in ("value", "two values"):
        profile["nodata"] = 0
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=o.no_data == "internal mask"),
        rasterio.open(target, "w", **profile) as file,
    ):
        file.write(np.moveaxis(stored, -1, 0))
        if o.photometric == "palette":
            file.write_colormap(1, {i: tuple(map(int, c)) for i, c in enumerate(_TABLE)})
        if o.no_data in ("internal mask", "mask file"):
            file.write_mask(valid)
        if o.scale:
            file.scales, file.offsets = (1e-4,) * file.count, (3.0,) * file.count
        if o.overviews and o.driver != "VRT" and o.nbits in (0, 12):
            file.build_overviews([2])
    if o.place == "world file":
        suffix = {".tif": ".tfw", ".png": ".pgw", ".jpg": ".jgw", ".jp2": ".j2w"}[path.suffix]
        a, b, c, d, e, f = georeference(o, number)["transform"][:6]
        lines = (a, d, b, e, c + a / 2, f + e / 2)
        path.with_suffix(suffix).write_text("\n".join(map(str, lines)) + "\n")
    if o.driver == "VRT":
        rasterio.shutil.copy(target, path, driver="VRT")


_TABLE = np.random.default_rng(5).integers(0, 256, (256, 4), np.uint8)
_TABLE[:, 3] = 255


def _seen(stored, valid, o):
    """Return the pixels that a file shows, and which of them are valid."""
    pixels = stored[..., :-1] if o.no_data == "alpha" else stored
    if o.photometric == "palette":
        pixels = _TABLE[pixels[..., 0], :3]
    if o.photometric == "CMYK":
        pixels = np.asarray(Image.fromarray(pixels, "CMYK").convert("RGB"))
    if o.nbits in (1, 4):
        pixels = pixels * np.uint8(255 // (2**o.nbits - 1))
    if o.photometric == "MINISWHITE":
        pixels = (2 ** (o.nbits if o.nbits == 12 else 8 * stored.dtype.itemsize) - 1) - pixels
    if o.place == "none":  # Elsewhere a georeference says what is up.
        quarters = {1: 0, 3: 2, 6: -1, 8: 1}[o.orientation]
        pixels, valid = np.rot90(pixels, quarters), np.rot90(valid, quarters)
    return pixels, valid


MASKS = (
    *("byte", "bit", "wide", "nan", "declared", "grey as RGB"),
    *("PNG", "PNG palette", "PNG bit"),
)


def write_mask(path, kind, options, number, size):
    """Write a mask of an image without a suffix in `path`; return its path and its classes [H, W].

    A TIFF lies on the grid of its image, or is stored bottom up where the image has a transform.
    """
    rng = np.random.default_rng(number + 10_000)
    classes = np.zeros(size, np.uint8)
    classes[10:30, 5 : 20 + number % 9] = 1
    if kind.startswith("PNG"):
        path = path.with_suffix(".png")
        picture = Image.fromarray(classes)
        if kind == "PNG palette":
            picture = picture.convert("P")
            picture.putpalette([0, 0, 0, 200, 30, 30])
        if kind == "PNG bit":
            picture = Image.fromarray(classes > 0)
        picture.save(path)
        return path, classes
    path = path.with_suffix(".tif")
    stored, profile = classes, {}
    if kind == "nan":
        stored = np.where(np.arange(size[1]) < 3, np.float32("nan"), classes.astype(np.float32))
        classes = np.where(np.arange(size[1]) < 3, np.uint8(255), classes)
    elif kind == "declared":
        stored = np.where(np.arange(size[1]) < 3, np.int16(-9999), classes.astype(np.int16))
        classes = np.where(np.arange(size[1]) < 3, np.uint8(255), classes)
        profile["nodata"] = -9999
    elif kind == "wide":
        stored = classes.astype(np.uint16)
    elif kind == "bit":
        profile["nbits"] = 1
    bands = np.dstack([stored] * 3) if kind == "grey as RGB" else stored[..., None]
    place = georeference(options, number) if options.place != "none" and rng.random() < 0.7 else {}
    if "transform" in place and rng.random() < 0.5:
        a, b, c, d, e, f = place["transform"][:6]
        bottom_up = Affine(a, -b, c + b * size[0], d, -e, f + e * size[0])
        place, bands = place | {"transform": bottom_up}, bands[::-1]
    profile |= {"driver": "GTiff", "height": size[0], "width": size[1], "dtype": bands.dtype}
    with rasterio.open(path, "w", **profile, **place, count=bands.shape[-1]) as file:
        file.write(np.moveaxis(bands, -1, 0))
    return path, classes
