"""What a build says at its end of splits without foreground."""

import pathlib

import pytest

from data_prep.shards import manifest


def closing_lines(**pixels):
    splits = {
        split: {
            **{"num_scenes": 1, "num_places": 1, "num_records": 4, "places": [split]},
            **{"class_pixels": counts, "ignore_pixels": 0, "scenes": [split]},
        }
        for split, counts in pixels.items()
    }
    content = {"name": "mine", "task": "ss", "source": "toy", "places_known": False}
    content |= {"classes": ["background", "building"], "found": 0, "rejected": []}
    return manifest.summary(content | {"splits": splits}, pathlib.Path("mine")).splitlines()


def test_splits_with_foreground_are_no_matter():
    assert not any("foreground" in line for line in closing_lines(train=[9, 1], val=[7, 1]))


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        ({"train": [9, 1], "val": [1024, 0]}, "in val (0 of 1,024 labelled pixels); F1"),
        ({"train": [9, 1], "val": [0, 0]}, "in val (0 of 0 labelled pixels); F1"),
        ({"train": [9, 0], "val": [7, 0]}, "in any split: train (0 of 9 labelled pixels), val (0"),
    ],
)
def test_a_split_without_foreground_is_named_in_one_line(pixels, said):
    (line,) = (line for line in closing_lines(**pixels) if "foreground" in line)
    assert line.startswith(f"warning: no foreground {said}")


def test_a_class_that_train_has_no_pixel_of_is_named():
    (line,) = (line for line in closing_lines(train=[0, 9], val=[7, 1]) if "warning" in line)
    assert line == (
        "warning: none of the 9 labelled pixels of train is background, so a network cannot learn"
        " it: look at the masks; where they hold NaN or no-data for it, --mask_nodata=0 takes that"
        " as class 0"
    )
    assert not any("cannot learn" in line for line in closing_lines(train=[9, 0], val=[7, 1]))
