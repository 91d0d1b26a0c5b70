"""Pictures of other splits that show the same ground are found, and no others."""

import io
import itertools

import numpy as np
import pytest
from folder_builds import error, run, save, square
from PIL import Image

from data_prep.__main__ import main
from data_prep.checks import look_alikes
from data_prep.drawing.scenes import segmentation_scene


def drawn(seed, size=128):
    return segmentation_scene(np.random.default_rng(seed), size)[0]


def jpeg(pixels, quality=60):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


def resized(pixels, side):
    return np.array(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))


def find(*pictures):
    """Pictures alternate between train and test, so that neighbours in the list are compared."""
    found = [
        look_alikes.picture("train" if i % 2 else "test", str(i), pixels)
        for i, pixels in enumerate(pictures)
    ]
    return look_alikes.find(found)


@pytest.fixture(scope="module")
def mosaic():
    return drawn(1, 512)


@pytest.mark.parametrize(
    "change",
    [
        jpeg,
        lambda pixels: resized(pixels, 120),
        lambda pixels: resized(pixels, 150),
        lambda pixels: (0.8 * pixels + 20).astype(np.uint8),
        lambda pixels: pixels.astype(np.uint16) * 256,
        lambda pixels: pixels[..., 1:2],
    ],
)
def test_a_picture_is_found_again(change):
    found = find(drawn(3), change(drawn(3)))
    assert found.same == ("test scene 0 and train scene 1",)
    assert not found.equal
    assert not found.neighbours


def test_equal_pixels_are_told_apart_from_what_looks_the_same():
    found = find(drawn(3), drawn(3), drawn(4), jpeg(drawn(4), 90))
    assert found.equal == ("test scene 0 and train scene 1",)
    assert found.same == ("test scene 2 and train scene 3",)


@pytest.mark.parametrize("overlap", [0, 1, 3, 16])
@pytest.mark.parametrize("turned", [False, True])
def test_crops_of_one_mosaic_that_abut_or_overlap_are_found(mosaic, overlap, turned):
    whole = mosaic.swapaxes(0, 1) if turned else mosaic
    left, right = whole[:256, :256], whole[:256, 256 - overlap : 512 - overlap]
    for pictures in ((left, right), (right, left)):
        found = find(*pictures)
        assert found.neighbours == ("test scene 0 and train scene 1",)
        assert not found.same
    found = find(jpeg(left, 90), jpeg(right, 90))
    assert overlap > 1 or found.neighbours == ("test scene 0 and train scene 1",)
    assert not any(vars(find(left, whole[256:, 256:])).values())  # They meet at a corner.


def test_other_pictures_are_not_reported():
    """Sixty drawn scenes, flat and black ones, and frames: 3,600 pairs of splits."""
    pictures = [drawn(seed, 96) for seed in range(60)]
    black = [np.zeros((96, 96, 3), np.uint8)] * 4
    flat = [np.full((96, 96, 3), 90, np.uint8)] * 4
    framed = [np.pad(p[8:-8, 8:-8], ((8, 8), (8, 8), (0, 0))) for p in pictures[:10]]
    half = [np.where(np.arange(96)[:, None, None] < 40, p, 0) for p in pictures[10:20]]
    lone = [f + np.uint8(1) * (np.arange(96) % 7 == i)[None, :, None] for i, f in enumerate(flat)]
    lists = (black + flat + lone, framed, half)
    for some in (pictures, *lists):
        assert not any(vars(find(*some)).values())


def test_pictures_of_one_split_are_not_compared(mosaic):
    pictures = [mosaic[:256, :256], mosaic[:256, 256:], jpeg(mosaic[:256, :256])]
    found = [look_alikes.picture("train", str(i), p) for i, p in enumerate(pictures)]
    assert not any(vars(look_alikes.find(found)).values())


def test_tiny_pictures_are_no_obstacle():
    rng = np.random.default_rng(0)
    shapes = itertools.product((1, 2, 3, 17), (1, 2, 40))
    pictures = [rng.integers(0, 256, (*shape, 2), np.uint8) for shape in shapes]
    assert not find(*pictures).neighbours


def test_verify_reports_them(tmp_path, capsys, mosaic):
    """Scenes of several tiles, with padding; equal pixels in files of two kinds are an error."""
    own = tmp_path / "own"
    pictures = {
        "train": {"a": mosaic[:240, :200], "b": drawn(5, 100), "c": drawn(6, 100)},
        "val": {"n": mosaic[:240, 200:400], "x": drawn(8, 70)},
        "test": {"j": jpeg(drawn(5, 100)), "y": drawn(9, 70)},
    }
    for split, of_split in pictures.items():
        for name, pixels in of_split.items():
            save(own / f"{split}/image/{name}.png", pixels)
            save(own / f"{split}/mask/{name}.png", square(*pixels.shape[:2]))
    assert run(own) == 0
    directory = str(tmp_path / "shards/own")
    capsys.readouterr()
    assert main(["verify", directory, "--num_workers=1"]) == 0
    output = capsys.readouterr().out
    assert "warning: 1 pairs of scenes of different splits look like neighbours:\n" in output
    assert "  val scene n and train scene a look like neighbours\n" in output
    assert "  test scene j and train scene b look like the same picture\n" in output
    assert output.count("look like") == 4
    Image.fromarray(pictures["train"]["c"]).save(own / "test/image/same.tif")
    save(own / "test/mask/same.png", square(100, 100))
    assert run(own, "--overwrite") == 0
    capsys.readouterr()
    assert main(["verify", directory, "--num_workers=1"]) == 2
    assert "test scene same and train scene c are the same picture, pixel by pixel" in error(capsys)
