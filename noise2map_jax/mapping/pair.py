"""Brings the images of a pair onto one grid: that of the first."""

import dataclasses
import shlex

from data_prep.imagery.common_ground import CommonGround, bounds, common_ground, plain
from data_prep.imagery.grid import difference, turn_onto
from data_prep.imagery.image_file import ImageFile
from data_prep.imagery.warped_file import kernel_for, shifted, warped
from noise2map_jax.errors import UserError
from noise2map_jax.mapping.registration import Registration, measured

REGISTER = ("report", "apply")
_NO_SHIFT = (0.0, 0.0)
_SMALL = 0.1  # Pixels. Interpolation blurs more than a smaller shift harms.


def aligned(
    images: list[ImageFile], *, strict: bool = False, register: str = ""
) -> tuple[list[ImageFile], list[str]]:
    """Bring the images of a pair onto the grid of the first.

    An image that is turned or mirrored by quarters is turned back; any other is warped when it is
    read. Beyond the ground that both show, the second has no valid pixels.

    Args:
        images: the open images, the first of which gives the grid.
        strict: whether an image that turning does not bring there is refused.
        register: "report" measures the shift between what the images show, which grids do not
            tell; "apply" takes it out, too; "" does neither.

    Returns:
        The images, all of the height, width and grid of the first, and notes on what was done or is
        not known, one sentence each.

    Raises:
        UserError: they have no ground in common, differ in size without saying where they lie, or
            are on different grids and must not or cannot be warped; or a library is missing.
    """
    if register not in ("", *REGISTER):
        raise UserError(f"register is {register!r}; expected one of {', '.join(REGISTER)}")
    first, *others = images
    result, notes = [first], []
    for image in others:
        moved, ground, told = _onto(first, image, strict)
        notes += told
        if register:
            found = measured(first, moved)
            shift = found.shift if register == "apply" and found.is_clear else _NO_SHIFT
            small = ground is None and max(abs(s) for s in shift) < _SMALL
            if any(shift) and not small:
                moved = _without_shift(first, image, moved, ground, shift)
            notes.append(_shift_note(first, image, found, register, small))
        result.append(moved)
    return result, notes


def _onto(
    first: ImageFile, image: ImageFile, strict: bool
) -> tuple[ImageFile, CommonGround | None, list[str]]:
    """Return the image on the grid of the first, how it lay to it if it is warped, and notes."""
    pair = f"{str(first.path)!r} and {str(image.path)!r}"
    turn = turn_onto(image.grid, first.grid)
    if turn is not None:
        notes = []
        if turn:
            notes.append(f"{image.path} is {turn.in_words()} to lie on the grid of {first.path}")
        if image.grid.is_placed != first.grid.is_placed:
            unknown = first if image.grid.is_placed else image
            notes.append(
                f"{unknown.path} does not say where it lies; its pixels are taken to be those of"
                " the other image"
            )
        return image.turned(turn) if turn else image, None, notes
    if not (first.grid.is_placed and image.grid.is_placed):
        raise UserError(
            f"images {pair} differ in size: {first.grid.height} x {first.grid.width} and"
            f" {image.grid.height} x {image.grid.width} pixels"
        )
    ground = common_ground(first.grid, image.grid)
    if ground is None:
        raise UserError(
            f"images {pair} have no ground in common: the first covers"
            f" {bounds(first.grid, None)}, the second {bounds(image.grid, first.grid.crs)}"
        )
    told = difference(first.grid, image.grid)
    if strict:
        raise UserError(
            f"images {pair} are not on the same grid. The second has {told}. Without --strict it is"
            f" warped onto the first; {_command(image, first)} writes it there"
        )
    notes = []
    if (first.grid.crs is None) != (image.grid.crs is None):
        unknown, known = (first, image) if first.grid.crs is None else (image, first)
        notes.append(f"{unknown.path} names no CRS; that of {known.path} is taken to be its own")
    notes.append(
        f"{image.path} has {told}; it is {kernel_for(ground).in_words()} onto the grid of"
        f" {first.path}, of which it covers {_percent(ground.share)}"
    )
    return _warped(first, image, ground, _NO_SHIFT), ground, notes


def _warped(
    first: ImageFile, image: ImageFile, ground: CommonGround, shift: tuple[float, float]
) -> ImageFile:
    target = plain(first.grid)
    if target is None:
        way = "control points" if first.grid.points else "polynomials"
        problem = f"image {str(first.path)!r} lies by {way}, which are no grid to warp onto"
        if plain(image.grid) is None:
            raise UserError(f"{problem}; warp both images onto one that has a plain transform")
        raise UserError(f"{problem}; {_command(first, image)} warps it onto the other")
    if any(shift):
        ground = dataclasses.replace(ground, by_whole_pixels=False)
    moved = warped(image, target, kernel_for(ground), shift)
    return dataclasses.replace(moved, grid=first.grid)


def _without_shift(
    first: ImageFile,
    image: ImageFile,
    moved: ImageFile,
    ground: CommonGround | None,
    shift: tuple[float, float],
) -> ImageFile:
    if ground is None:
        return shifted(moved, shift)
    return _warped(first, image, ground, shift)


def _shift_note(
    first: ImageFile, image: ImageFile, found: Registration, register: str, small: bool
) -> str:
    said = f"{image.path} against {first.path}: {found.in_words(first.grid)}"
    if not found.is_clear:
        return f"{said}; no shift is taken out" if register == "apply" else said
    if register == "report":
        return f"{said}; --register=apply takes it out"
    return f"{said}; that is too little to interpolate for" if small else f"{said}, taken out"


def _command(image: ImageFile, onto: ImageFile) -> str:
    image_path, onto_path = shlex.quote(str(image.path)), shlex.quote(str(onto.path))
    return f"python -m data_prep warp --image={image_path} --onto={onto_path} --output=WARPED.tif"


def _percent(share: float) -> str:
    """Say a share that is right to about a percent."""
    if share >= 0.99:
        return "99% or more"
    return f"{share:.0%}" if share >= 0.01 else "less than 1%"
