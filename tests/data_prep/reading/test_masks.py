"""The encoding of masks is decided once, from all of them."""

import numpy as np
import pytest

from data_prep.basics.errors import UserError
from data_prep.imagery.bands import MaskRaster
from data_prep.reading import masks


def histogram(**pixels: int) -> np.ndarray:
    counts = np.zeros(256, np.int64)
    for value, number in pixels.items():
        counts[int(value[1:])] = number
    return counts


@pytest.mark.parametrize(
    ("pixels", "num_classes", "encoding"),
    [
        ({"v0": 900, "v255": 100}, 2, "binary255"),
        ({"v0": 900, "v254": 1, "v255": 100}, 2, "binary255"),  # levir_cd
        ({"v0": 9000, "v3": 20, "v128": 30, "v250": 30, "v255": 900}, 2, "binary255"),  # JPEG
        ({"v0": 900, "v1": 100}, 2, "index"),
        ({"v0": 900, "v1": 100, "v255": 30}, 2, "index"),
        ({"v0": 900}, 2, "index"),
        ({}, 2, "index"),
        ({"v255": 10}, 2, "binary255"),
        ({"v0": 900, "v1": 90, "v7": 10}, 2, "index"),  # 7 is then an error of its file.
        ({"v0": 900, "v1": 90, "v7": 1, "v255": 30}, 2, "index"),
        # Three classes and ignore, of which the user named two: 255 is no foreground.
        ({"v0": 900, "v1": 20, "v2": 20, "v255": 100}, 2, "index"),
        ({"v0": 900, "v3": 20, "v255": 100}, 2, "index"),
        ({"v0": 500, "v128": 200, "v255": 300}, 2, "index"),
        ({"v0": 900, "v1": 90, "v4": 10}, 5, "index"),
        ({"v0": 900, "v255": 10}, 5, "index"),
    ],
)
def test_decided_encoding(pixels, num_classes, encoding):
    assert masks.decide_encoding(histogram(**pixels), num_classes) == encoding


def test_one_slip_among_0_and_255_is_not_taken_for_a_class():
    with pytest.raises(UserError, match=r"3 pixels of 1 and 100000 of 255.*--mask_encoding"):
        masks.decide_encoding(histogram(v0=10**6, v1=3, v255=10**5), 2)


def test_masks_of_0_and_1_beside_masks_of_0_and_255_are_refused():
    ones, high = histogram(v0=900, v1=100), histogram(v0=900, v255=100)
    with pytest.raises(UserError, match=r"1 masks \(such as a\) hold 0 and 1.*--mask_encoding=non"):
        masks.check_alike({"a": ones, "b": high, "c": high}, 2)
    masks.check_alike({"a": ones, "b": high}, 3)
    masks.check_alike({"a": ones, "b": histogram(v0=9)}, 2)
    # Where a mask holds both, 255 is ignore.
    masks.check_alike({"a": ones, "b": high, "c": histogram(v0=9, v1=9, v255=9)}, 2)


def test_all_but_0_is_foreground_if_asked_for():
    values = np.array([[0, 1, 100, 255]], np.uint8)
    index = masks.to_index(MaskRaster(values), "nonzero", 2, 255)
    assert index.ravel().tolist() == [0, 1, 1, 1]
    assert masks.wrong_values(histogram(v0=1, v100=1), 2, "nonzero") == []
    masks.check_encoding("nonzero", histogram(v0=1, v100=1), 2)
    with pytest.raises(UserError, match="--mask_encoding=nonzero has two classes"):
        masks.check_encoding("nonzero", histogram(v0=1), 3)


def test_wrong_values_are_those_outside_the_classes():
    counts = histogram(v0=1, v1=1, v2=1, v7=1, v255=1)
    assert masks.wrong_values(counts, 2, "index") == [2, 7]
    assert masks.wrong_values(counts, 8, "index") == []
    assert masks.wrong_values(counts, 2, "binary255") == []


def test_an_asked_encoding_that_the_values_contradict_is_refused():
    with pytest.raises(UserError, match="largest value of the masks is 1"):
        masks.check_encoding("binary255", histogram(v0=5, v1=5), 2)
    with pytest.raises(UserError, match="two classes, but --classes names 5"):
        masks.check_encoding("binary255", histogram(v0=5, v255=5), 5)
    masks.check_encoding("binary255", histogram(v0=5, v1=5, v255=5), 2)
    masks.check_encoding("binary255", histogram(v0=5), 2)


def test_to_index_thresholds_above_127_and_leaves_indices_and_bits_alone():
    values = np.array([[0, 1, 127, 128, 254, 255]], np.uint8)
    binary = masks.to_index(MaskRaster(values), "binary255", 2, 255)
    assert binary.shape == (1, 6, 1)
    assert binary.ravel().tolist() == [0, 0, 0, 1, 1, 1]
    index = masks.to_index(MaskRaster(values), "index", 2, 255)
    assert index.ravel().tolist() == values[0].tolist()
    bits = np.array([[0, 1]], np.uint8)
    assert masks.to_index(
        MaskRaster(bits, is_index=True), "binary255", 2, 255
    ).ravel().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("nodata", "num_classes", "ignored"),
    [(0, 2, []), (1, 2, []), (255, 2, []), (7, 2, [3]), (7, 8, []), (None, 2, [])],
)
def test_declared_no_data_counts_unless_it_is_a_class(nodata, num_classes, ignored):
    values = np.array([[0, 1, 255, 7]], np.uint8)
    index = masks.to_index(MaskRaster(values, nodata=nodata), "index", num_classes, 9).ravel()
    assert np.flatnonzero(index == 9).tolist() == ignored


def test_pixels_without_data_get_the_class_that_is_asked_for():
    mask = MaskRaster(np.array([[1, 0]], np.uint8), missing=np.array([[False, True]]))
    for encoding in masks.ENCODINGS:
        assert masks.to_index(mask, encoding, 2, 255)[0, 1, 0] == 255
        assert masks.to_index(mask, encoding, 2, 0)[0, 1, 0] == 0
