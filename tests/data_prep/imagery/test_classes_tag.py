import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.imagery.classes_tag import classes_tag, tagged_classes

NAMES = st.text(st.characters(codec="utf-8", exclude_characters=",=")).map(str.strip)


@given(st.lists(NAMES, min_size=1))
def test_a_tag_is_read_as_it_was_written(names):
    assert tagged_classes(classes_tag(names)) == tuple(names)


def test_names_may_have_commas():
    assert tagged_classes("0 = no change, 1 = roof, flat") == ("no change", "roof, flat")


@pytest.mark.parametrize("tag", ["", "building", "1 = building", "0 = a, 2 = b"])
def test_other_tags_name_no_classes(tag):
    assert tagged_classes(tag) == ()
