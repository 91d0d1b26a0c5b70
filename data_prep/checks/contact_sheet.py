"""Draws a contact sheet: tiles of each split with the outlines of their masks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data_prep.basics.dataset import IGNORE
from data_prep.shards.prepared import Prepared, Shard

# Colours of classes 1, 2, ...: Okabe and Ito's, which differ for every kind of colour vision.
COLOURS = ((240, 228, 66), (86, 180, 233), (213, 94, 0), (204, 121, 167), (0, 158, 115))
_PANEL = 192  # Side of a picture on the sheet, pixels.
_WIDTH = 8  # Pictures in a row; a pair takes two.
_BETWEEN = 2  # Pixels between the two pictures of a pair.
_GAP, _CAPTION, _HEADING = 6, 16, 30
_PERCENTILES = (1.0, 99.0)  # A stretch makes these values black and white.


def draw(
    dataset: Prepared, foreground: Mapping[Shard, Sequence[int]], number: int, output: Path
) -> int:
    """Draw tiles of every split and save the sheet as PNG.

    Args:
      dataset: The dataset.
      foreground: Shard -> indices of its records with a class above 0. Half of the tiles are drawn
        from these if there are enough, because most tiles of change detection show no change.
      number: Number of tiles of each split.
      output: The PNG file; its folder is made.

    Returns:
      The number of tiles drawn; if it is 0, no sheet is written.
    """
    strips = []
    total = 0
    for split in dataset.shards:
        tiles = _read(dataset, _choose(dataset, split, foreground, number))
        if tiles:
            strips.append(_strip(dataset, split, tiles))
            total += len(tiles)
    if not strips:
        return 0
    sheet = Image.new("RGB", (strips[0].width, sum(strip.height for strip in strips)), "white")
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    output.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(output, format="PNG")
    return total


def _choose(
    dataset: Prepared, split: str, foreground: Mapping[Shard, Sequence[int]], number: int
) -> list[tuple[Shard, int]]:
    """Choose records spread evenly over the split, half of them with foreground."""
    shards = [shard for shard in dataset.every_shard() if shard.split == split]
    every = [(shard, index) for shard in shards for index in range(dataset.num_records(shard))]
    with_some = [(shard, index) for shard in shards for index in foreground.get(shard, ())]
    chosen = set(_spread(with_some, number // 2))
    others = [record for record in every if record not in chosen]
    chosen |= set(_spread(others, number - len(chosen)))
    return [record for record in every if record in chosen]


def _spread(records: Sequence[tuple[Shard, int]], number: int) -> list[tuple[Shard, int]]:
    number = min(number, len(records))
    return [records[(2 * i + 1) * len(records) // (2 * number)] for i in range(number)]


def _read(dataset: Prepared, chosen: Sequence[tuple[Shard, int]]) -> list[Mapping[str, np.ndarray]]:
    """Read the records that can be drawn; `record_checks` reports what is wrong with others."""
    sources = {shard: dataset.records(shard) for shard, _ in chosen}
    tiles: list[Mapping[str, np.ndarray]] = []
    for shard, index in chosen:
        try:
            record = sources[shard][index]
        except Exception:  # Decoders raise nearly any exception type on a damaged shard.
            continue
        names = (*dataset.images, "mask")
        arrays = [record.get(name) for name in names]
        if all(isinstance(a, np.ndarray) and a.ndim == 3 and min(a.shape) > 0 for a in arrays):
            tiles.append(record)
    return tiles


def _strip(dataset: Prepared, split: str, tiles: Sequence[Mapping[str, np.ndarray]]) -> Image.Image:
    per_tile = len(dataset.images)
    columns = _WIDTH // per_tile
    rows = -(-len(tiles) // columns)
    tile_width = per_tile * (_PANEL + _BETWEEN) - _BETWEEN
    cell_width, cell_height = tile_width + _GAP, _PANEL + _CAPTION + _GAP
    size = (_GAP + columns * cell_width, _HEADING + rows * cell_height + _GAP)
    strip = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(strip)
    low, high = _stretch(dataset, tiles)
    _head(
        pen, dataset, f"{split}: {len(tiles)} of {sum(dataset.shards[split])} records", low is None
    )
    for place, record in enumerate(tiles):
        left = _GAP + place % columns * cell_width
        top = _HEADING + place // columns * cell_height
        for i, name in enumerate(dataset.images):
            panel = _panel(record[name], low, high)
            panel = _outlined(panel, record["mask"][..., 0], len(dataset.manifest["classes"]))
            strip.paste(Image.fromarray(panel), (left + i * (_PANEL + _BETWEEN), top))
        key = record["id"]
        text = key.decode(errors="replace") if isinstance(key, bytes) else str(key)
        _caption(pen, (left, top + _PANEL + 1), text, tile_width)
    return strip


def _head(pen: ImageDraw.ImageDraw, dataset: Prepared, text: str, as_stored: bool) -> None:
    """Write what the sheet shows, and the colours of the classes."""
    about = dataset.manifest
    parts = [
        f"{about['name']} {about['task']}",
        text,
        *(["pre | post"] if about["task"] == "cd" else []),
    ]
    if not as_stored:
        bands = "1, 2, 3" if about["num_bands"] >= 3 else "1"
        parts.append(f"band(s) {bands}, {_PERCENTILES[0]:g} to {_PERCENTILES[1]:g} % stretched")
    font = ImageFont.load_default(size=14)
    heading = "; ".join(parts)
    pen.text((_GAP, 6), heading, "black", font)
    left = _GAP + pen.textlength(heading, font) + 16
    names = [(name, COLOURS[i % len(COLOURS)]) for i, name in enumerate(about["classes"][1:])]
    for name, colour in [*names, ("ignore", (128, 128, 128))]:
        pen.rectangle((left, 8, left + 12, 20), colour, "black")
        pen.text((left + 17, 6), name, "black", font)
        left += 17 + pen.textlength(name, font) + 14


def _caption(pen: ImageDraw.ImageDraw, at: tuple[int, int], text: str, width: int) -> None:
    """Write an id; leave out the middle of a long one."""
    font = ImageFont.load_default(size=10)
    head, tail = text, ""
    while head and pen.textlength(head + tail, font) > width:
        kept = len(head) + len(tail.removeprefix("…")) - 1
        head, tail = text[: kept // 2], "…" + text[len(text) - (kept - kept // 2) :]
    pen.text(at, head + tail, "black", font)


def _stretch(
    dataset: Prepared, tiles: Sequence[Mapping[str, np.ndarray]]
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return the values that become black and white in each band; None for no stretch."""
    about = dataset.manifest
    if about["dtype"] == "uint8" and about["num_bands"] in (1, 3):
        return None, None
    shown = []
    for record in tiles:
        for name in dataset.images:
            image = _shown_bands(record[name])
            valid = record["mask"][..., 0] != IGNORE
            # Every few pixels of a large tile are enough for two percentiles.
            shown.append((image[valid] if valid.shape == image.shape[:2] else image)[::7])
    pixels = np.concatenate([part.reshape(-1, shown[0].shape[-1]) for part in shown])
    if not pixels.size:
        return None, None
    low, high = np.percentile(pixels, _PERCENTILES, axis=0)
    return low, np.maximum(high, low + 1)


def _shown_bands(image: np.ndarray) -> np.ndarray:
    """Return the first three bands, or the first of one or two: [H, W, C] -> [H, W, 3 or 1]."""
    return image[..., :3] if image.shape[-1] >= 3 else image[..., :1]


def _panel(image: np.ndarray, low: np.ndarray | None, high: np.ndarray | None) -> np.ndarray:
    """Stretch and resize an image [H, W, C] to a panel [_PANEL, _PANEL, 3] uint8."""
    image = _shown_bands(image)
    if low is not None and high is not None:
        scaled = (image.astype(np.float64) - low) / (high - low)
        image = (255 * np.clip(scaled, 0, 1)).astype(np.uint8)
    elif image.dtype != np.uint8:
        image = (image >> 8).astype(np.uint8)
    if image.shape[-1] == 1:
        image = np.repeat(image, 3, axis=-1)
    picture = Image.fromarray(image)
    method = Image.Resampling.LANCZOS if max(image.shape) > _PANEL else Image.Resampling.NEAREST
    return np.array(picture.resize((_PANEL, _PANEL), method))


def _outlined(panel: np.ndarray, mask: np.ndarray, num_classes: int) -> np.ndarray:
    """Draw the inner edge of each class on a panel, and hatch ignored pixels."""
    rows = np.arange(_PANEL) * mask.shape[0] // _PANEL
    columns = np.arange(_PANEL) * mask.shape[1] // _PANEL
    large = mask[np.ix_(rows, columns)]
    outlined = panel.copy()
    hatch = (np.add.outer(np.arange(_PANEL), np.arange(_PANEL)) // 3) % 3 == 0
    outlined[(large == IGNORE) & hatch] = (128, 128, 128)
    padded = np.pad(large, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    edge = np.any([neighbour != large for neighbour in neighbours], axis=0)
    # A dark line outside the light one makes it visible on bright and on dark ground.
    outlined[edge & ~_foreground(large, num_classes)] = (
        outlined[edge & ~_foreground(large, num_classes)] // 3
    )
    for value in range(1, num_classes):
        outlined[edge & (large == value)] = COLOURS[(value - 1) % len(COLOURS)]
    return outlined


def _foreground(mask: np.ndarray, num_classes: int) -> np.ndarray:
    return (mask > 0) & (mask < num_classes)
