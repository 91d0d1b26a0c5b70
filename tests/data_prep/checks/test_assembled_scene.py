import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.basics import tiles
from data_prep.checks.assembled_scene import assembled
from data_prep.imagery.edges import cut_mirrored

SIZE = 8


def cut(images, mask, edge):
    """The tiles of a scene as `data_prep` cuts them, or as it did when padding was black."""
    height, width = mask.shape[:2]
    positions = list(tiles.offsets(height, width, SIZE))
    records = [
        {"mask": tiles.cut(mask, *position, SIZE, fill=255)}
        | {
            name: cut_mirrored(image, *position, SIZE)
            if edge == "mirrored"
            else tiles.cut(image, *position, SIZE, fill=0)
            for name, image in images.items()
        }
        for position in positions
    ]
    return positions, records


def scene(height, width, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(1, 255, (height, width, 3), np.uint8)


@pytest.mark.parametrize("edge", ["mirrored", "black"])
@given(height=st.integers(1, 20), width=st.integers(1, 20))
def test_the_images_come_back_without_their_padding(edge, height, width):
    images = {"pre": scene(height, width), "post": scene(height, width, seed=1)}
    positions, records = cut(images, np.ones((height, width, 1), np.uint8), edge)
    pre, post = assembled(positions, records, ("pre", "post"))
    np.testing.assert_array_equal(pre, images["pre"])
    np.testing.assert_array_equal(post, images["post"])


@pytest.mark.parametrize("edge", ["mirrored", "black"])
def test_ground_that_nobody_labelled_is_no_padding(edge):
    image, mask = scene(13, 19), np.ones((13, 19, 1), np.uint8)
    mask[5:], mask[:, 6:] = 255, 255
    positions, records = cut({"image": image}, mask, edge)
    (found,) = assembled(positions, records, ("image",))
    np.testing.assert_array_equal(found, image)
    positions, records = cut({"image": image}, np.full_like(mask, 255), edge)
    (found,) = assembled(positions, records, ("image",))
    np.testing.assert_array_equal(found, image)


def test_labelled_ground_that_looks_mirrored_stays():
    image = scene(8, 8)
    image[5:] = image[[3, 2, 1]]
    positions, records = cut({"image": image}, np.zeros((8, 8, 1), np.uint8), "mirrored")
    (found,) = assembled(positions, records, ("image",))
    np.testing.assert_array_equal(found, image)
