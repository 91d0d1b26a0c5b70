"""Names and option values."""

import argparse

import pytest

from data_prep.basics import options
from data_prep.basics.errors import UserError


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("LEVIR-CD 256", "levir_cd_256"),
        ("levirCd", "levir_cd"),
        ("2020 tiles", "data_2020_tiles"),
        ("__x__", "x"),
        ("日本", "data"),
    ],
)
def test_snake_case(folder, name):
    assert options.snake_case(folder) == name
    options.check_name(name)


def test_a_name_that_tfds_cannot_load_is_refused():
    with pytest.raises(UserError, match=r"--name=My-Data:.*such as my_data"):
        options.check_name("My-Data")


@pytest.mark.parametrize("text", ["0.7,0.3", "a,b,c", "0.7,0.1,0.1", "1.2,-0.1,-0.1", "nan,0,1"])
def test_wrong_fractions(text):
    with pytest.raises(argparse.ArgumentTypeError, match=text.split(",")[0]):
        options.fractions(text)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (options.counts, "1,2"),
        (options.counts, "0,0,0"),
        (options.counts, "-1,2,2"),
        (options.positive, "0"),
        (options.positive, "x"),
        (options.seed, "-1"),
        (options.class_names, "a"),
        (options.class_names, "a,a"),
        (options.class_names, "a,"),
    ],
)
def test_wrong_values(parse, text):
    with pytest.raises(argparse.ArgumentTypeError):
        parse(text)


def test_right_values():
    assert options.fractions("0.7,0.1,0.2") == (0.7, 0.1, 0.2)
    assert options.counts("3,0,1") == (3, 0, 1)
    assert options.positive("7") == 7
    assert options.seed("0") == 0
    assert options.class_names("land, water") == ("land", "water")
