"""Which bands are read: all but alpha, or those that a user names."""

import argparse

import pytest

from data_prep.imagery import band_options
from data_prep.imagery.band_choice import BandChoice
from data_prep.imagery.bands import ReadError


@pytest.mark.parametrize(
    ("choice", "num_bands", "flagged", "expected"),
    [
        (BandChoice(), 3, None, ([0, 1, 2], None)),
        (BandChoice(), 4, 3, ([0, 1, 2], 3)),
        (BandChoice(), 4, 0, ([1, 2, 3], 0)),
        (BandChoice(alpha="band"), 4, 3, ([0, 1, 2, 3], None)),
        (BandChoice(alpha="mask"), 4, None, ([0, 1, 2], 3)),
        (BandChoice(alpha="mask"), 2, None, ([0], 1)),
        (BandChoice(alpha="mask"), 3, None, ([0, 1, 2], None)),
        (BandChoice((3, 2, 1)), 5, None, ([2, 1, 0], None)),
        (BandChoice((1, 1, 1)), 1, None, ([0, 0, 0], None)),
        (BandChoice((1, 2, 3)), 4, 3, ([0, 1, 2], 3)),
        (BandChoice((1, 2, 3, 4)), 4, 3, ([0, 1, 2, 3], None)),
    ],
)
def test_bands_and_alpha(choice, num_bands, flagged, expected):
    assert choice.of(num_bands, flagged) == expected


def test_a_band_that_is_not_there_is_named():
    with pytest.raises(ReadError, match=r"has 3 band\(s\), and --bands=1,4 asks for band 4"):
        BandChoice((1, 4)).of(3, None)


def test_the_options():
    parser = argparse.ArgumentParser(exit_on_error=False)
    band_options.add_arguments(parser)
    given = parser.parse_args(["--bands=4,3,2", "--alpha=band", "--nodata=0"])
    assert band_options.choice(given) == BandChoice((4, 3, 2), "band", 0)
    assert band_options.options(given) == {"bands": [4, 3, 2], "alpha": "band", "nodata": 0}
    assert band_options.options(parser.parse_args([])) == {}
    for wrong in ("", "a", "0,1", "1.5", "1,,2"):
        with pytest.raises(argparse.ArgumentError, match="numbers of bands from 1"):
            parser.parse_args([f"--bands={wrong}"])
