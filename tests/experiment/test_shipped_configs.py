import pathlib

import pytest

from noise2map_jax.configs import default
from noise2map_jax.errors import UserError
from noise2map_jax.experiment import shipped_configs

FOLDER = pathlib.Path(__file__).parents[2] / "configs"


def test_names_are_those_of_the_experiments_in_the_checkout():
    names = shipped_configs.names()
    assert {"ss_spacenet7", "cd_levir", "ablate_noise"} <= set(names)
    assert "default" not in names
    assert names == sorted(names)
    assert all((FOLDER / f"{name}.py").is_file() for name in names)


@pytest.mark.parametrize("argument", ["", ":cd", ":a:b"])
def test_a_name_is_the_file_that_comes_with_the_project(argument):
    path = shipped_configs.config_path(f"ablate_noise{argument}")
    assert path == f"{FOLDER / 'ablate_noise.py'}{argument}"


@pytest.mark.parametrize("given", ["mine.py", "mine.py:cd", "ss_whu"])
def test_a_file_is_taken_as_it_is_also_where_it_is_called_as_a_shipped_one(
    tmp_path, monkeypatch, given
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / given.partition(":")[0]).touch()
    assert shipped_configs.config_path(given) == given


@pytest.mark.parametrize("given", ["ss_wuh", "default", "../configs/ss_whu", "", ":ss", "no.py"])
def test_what_is_neither_file_nor_name_is_refused_with_the_names(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        shipped_configs.config_path(given)
    assert repr(given.partition(":")[0]) in str(error.value)
    assert ", ".join(shipped_configs.names()) in str(error.value)


def test_modules_of_the_package_are_the_files_of_the_checkout():
    assert pathlib.Path(default.__file__) == FOLDER / "default.py"
