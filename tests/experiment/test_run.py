"""Opening a finished run, with what evaluation found for its parameters."""

import json

import multitask_config
import pytest
import thin_config
from finished_runs import finish

from noise2map_jax.errors import UserError
from noise2map_jax.experiment.run import open_run
from noise2map_jax.experiment.task_configs import task_configs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    finish(folder, thin_config.get_config())
    (folder / "report").mkdir()
    return folder


@pytest.mark.parametrize(
    ("content", "temperature"),
    [
        ({"temperature": 2.5, "step": 7}, 2.5),
        ({"temperature": 2.5, "step": 6}, 1.0),  # of other parameters
        ({"threshold": 0.4, "step": 7}, 1.0),  # an earlier version found no temperature
    ],
)
def test_a_run_has_the_temperature_that_was_found_for_its_parameters(run, content, temperature):
    (run / "report" / "threshold.json").write_text(json.dumps(content))
    config, *_ = open_run(run)
    assert config.eval.temperature == temperature


@pytest.mark.parametrize("text", ["{", "[]", '{"temperature": "hot"}', '{"temperature": 0}'])
def test_a_damaged_temperature_is_named(run, text):
    (run / "report" / "threshold.json").write_text(text)
    with pytest.raises(UserError, match=r"threshold\.json .*: run --mode=eval again"):
        open_run(run)


def test_each_task_has_its_own_temperature(tmp_path):
    finish(tmp_path, multitask_config.get_config())
    (tmp_path / "report").mkdir()
    content = json.dumps({"temperature": 1.5, "step": 7})
    (tmp_path / "report" / "threshold_cd.json").write_text(content)
    config, *_ = open_run(tmp_path)
    views = task_configs(config)
    assert {name: view.eval.temperature for name, view in views.items()} == {"cd": 1.5, "ss": 1.0}
