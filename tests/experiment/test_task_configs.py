import multitask_config
import pytest
import thin_config

from noise2map_jax.errors import UserError
from noise2map_jax.experiment.task_configs import task_config, task_configs


def test_a_config_of_one_task_is_its_own_view():
    config = thin_config.get_config()
    assert task_configs(config) == {"ss": config}
    assert task_config(config, "") is config


def test_a_section_is_seen_as_if_its_task_were_alone():
    config = multitask_config.get_config()
    config.tasks.cd.noise.timestep_range = (900, 1000)
    config.train.learning_rate = 0.5
    views = task_configs(config)
    assert list(views) == ["cd", "ss"]
    assert (views["cd"].task, views["cd"].data.dataset) == ("cd", "thin_cd")
    assert views["cd"].noise.timestep_range == (900, 1000)
    assert views["ss"].noise.timestep_range == (0, 0)
    for view in views.values():
        assert view.train.learning_rate == 0.5
        assert view.train.class_weights == (1.0, 5.0)
        assert not view.tasks


def test_what_a_section_holds_is_nowhere_else():
    config = multitask_config.get_config()
    for field in ("task", "data", "augment", "noise"):
        assert field not in config
    assert "class_weights" not in config.train


def test_a_task_has_to_be_named_where_there_are_several():
    with pytest.raises(UserError, match="no task is named; this run has cd, ss"):
        task_config(multitask_config.get_config(), "")
    with pytest.raises(UserError, match="task 'denoise' is named; this run has ss"):
        task_config(thin_config.get_config(), "denoise")


def test_a_section_of_an_unknown_task_is_refused():
    config = multitask_config.get_config()
    config.tasks.segment = config.tasks.ss
    with pytest.raises(UserError, match="'segment'"):
        task_configs(config)
