import argparse

import pytest

from noise2map_jax.errors import UserError
from noise2map_jax.polygons import polygon_options
from noise2map_jax.polygons.polygon_options import PolygonOptions


def parsed(*argv):
    parser = argparse.ArgumentParser(allow_abbrev=False)
    polygon_options.add_arguments(parser)
    return parser.parse_args(argv)


def test_options_are_those_of_the_command_line():
    assert polygon_options.options(parsed()) == PolygonOptions()
    arguments = parsed("--polygons=o.gpkg", "--min_area=20", "--simplify=1.5", "--square")
    assert arguments.polygons == "o.gpkg"
    assert polygon_options.options(arguments) == PolygonOptions(20, 1.5, True)


@pytest.mark.parametrize("given", ["--min_area=20", "--simplify=1", "--square"])
def test_options_without_polygons_are_refused(given):
    with pytest.raises(UserError, match=r"add --polygons=OUT\.gpkg"):
        polygon_options.options(parsed(given))


@pytest.mark.parametrize("given", ["--min_area=-1", "--simplify=nan", "--simplify=inf"])
def test_numbers_out_of_range_are_refused(given):
    with pytest.raises(UserError, match=f"{given}; expected 0 or above"):
        polygon_options.options(parsed("--polygons=o.gpkg", given))
