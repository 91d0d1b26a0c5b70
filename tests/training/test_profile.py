import pytest

from noise2map_jax.errors import UserError
from noise2map_jax.training.profile import check_profile_steps, create_profile


@pytest.mark.parametrize("steps", [(0, 0), (1, 2), (10, 11), (1, 11), [3, 5]])
def test_steps_of_the_run_can_be_recorded(steps):
    check_profile_steps(steps, 10)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((8, 12), r"\[8, 12\); expected 1 <= first < last \+ 1 <= 11, for the run has 10 steps"),
        ((0, 2), r"\[0, 2\); expected 1 <= first"),
        ((5, 5), r"\[5, 5\); expected 1 <= first"),
        ((5,), r"is \(5,\); expected two step numbers"),
        (("a", 2), "expected two step numbers"),
        (20, "is 20; expected two step numbers"),
    ],
)
def test_other_steps_are_one_line(steps, words):
    with pytest.raises(UserError, match=words):
        check_profile_steps(steps, 10)


def test_steps_that_are_past_are_said_to_be(tmp_path, capsys):
    assert create_profile((0, 0), 0, tmp_path, str) is None
    assert capsys.readouterr().out == ""
    assert create_profile((4, 6), 3, tmp_path, str) is not None
    assert create_profile((4, 6), 4, tmp_path, str) is None
    (line,) = capsys.readouterr().out.splitlines()
    assert "steps 4 to 5 are not recorded: training goes on after step 4" in line
