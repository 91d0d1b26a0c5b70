import pytest

from noise2map_jax.errors import UserError
from noise2map_jax.evaluation.name_groups import name_groups


def test_names_are_grouped_by_the_first_group_of_the_pattern():
    names = ["val/rio_1/r0", "val/rio_2/r0", "val/17/r0"]
    assert name_groups(names, "/([a-z]+)_", "x") == ["rio", "rio", "other"]
    assert name_groups(names, "(rio)?", "x") == ["other"] * 3


@pytest.mark.parametrize(
    ("pattern", "words"), [("(", "is not a regular expression"), ("rio", "has no group")]
)
def test_patterns_without_an_answer_are_refused(pattern, words):
    with pytest.raises(UserError, match=rf"eval\.group_regex .*{words}"):
        name_groups(["a"], pattern, "eval.group_regex")
