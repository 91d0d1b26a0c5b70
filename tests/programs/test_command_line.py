"""How the main program finds its config, and what it says of one that fails."""

import inspect
import sys

import pytest
from absl import flags
from ml_collections import config_flags

from noise2map_jax import command_line, configs, main
from noise2map_jax.command_name import command_name
from noise2map_jax.errors import UserError
from noise2map_jax.experiment import run_config, shipped_configs

# ml_collections loads config files so.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


@pytest.mark.parametrize(
    "arguments",
    [["--config=ablate_noise:cd"], ["--config", "ablate_noise:cd"], ["-config=ablate_noise:cd"]],
)
def test_a_config_is_given_by_name(parse, arguments):
    values = parse(*arguments, "--config.study.seeds=3,4")
    assert "self" in values.config.study.variants  # which the study of pairs has alone
    assert values.config.study.seeds == (3, 4)
    path = config_flags.get_config_filename(values["config"])
    assert path == shipped_configs.config_path("ablate_noise:cd")


def test_a_run_is_evaluated_with_its_own_config_unless_another_is_given(parse, tmp_path):
    config = parse("--config=ss_whu").config
    config.seed = 7
    run_config.save_config(config, tmp_path)
    run = ["--mode", "eval", f"--workdir={tmp_path}"]
    assert parse(*run).config.seed == 7
    assert parse(*run, "--config=ss_whu").config.seed == 0
    assert parse(*run[2:]).config is None


def test_the_config_that_a_run_keeps_starts_another_run(parse, tmp_path):
    config = parse("--config=ss_whu").config
    config.seed = 7
    run_config.save_config(config, tmp_path)
    again = parse(f"--config={tmp_path / run_config.CONFIG}", "--config.train.num_steps=3").config
    assert (again.seed, again.train.num_steps) == (7, 3)
    with pytest.raises(UserError, match="takes no argument 'quick'"):
        parse(f"--config={tmp_path / run_config.CONFIG}:quick")
    with pytest.raises(UserError, match=r"no run in .*nowhere"):
        parse(f"--config={tmp_path / 'nowhere' / run_config.CONFIG}")


@pytest.mark.parametrize("mode", ["eval", "baselines", "train"])
def test_the_config_of_a_run_names_the_folder_of_what_is_done_with_it(
    parse, tmp_path, monkeypatch, mode
):
    run_config.save_config(parse("--config=ss_whu").config, tmp_path)
    parse(f"--config={tmp_path / run_config.CONFIG}", f"--mode={mode}")
    monkeypatch.setattr(main, "_MODE", flags.FLAGS["mode"])
    if mode == "train":
        with pytest.raises(UserError, match=r"is the config of a run: give --workdir=DIR"):
            main._usual_workdir()
    else:
        assert main._usual_workdir() == str(tmp_path)
    parse("--config=ablate_noise:cd")
    assert main._usual_workdir() == "runs/ablate_noise_cd"


def test_a_file_of_that_name_that_is_no_run(parse, tmp_path):
    path = tmp_path / run_config.CONFIG
    path.write_text('{"_class_name": "UNet2DModel"}')
    with pytest.raises(UserError, match=r"config.json is not the config of a run"):
        parse(f"--config={path}")


def test_the_config_of_a_run_in_a_bucket_keeps_its_address():
    given = command_line._with_path("--config=s3://bucket/run/config.json")
    assert given == f"--config={command_line.RUN_CONFIG}:s3://bucket/run"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = false\n", "line 1: NameError: name 'false' is not defined"),
        ("from configs import nothing\n", "line 1: ImportError"),
        (
            "import nowhere_at_all\n",
            "line 1: ModuleNotFoundError: No module named 'nowhere_at_all'",
        ),
        ("def get_config():\n    raise ValueError('so not')\n", "line 2: ValueError: so not"),
        ("def get_config():\n    return {}['a']\n", "line 2: KeyError: 'a'"),
        (
            "def get_config():\n    open('nowhere.txt')\n",
            "No such file or directory: 'nowhere.txt'",
        ),
        ("def get_config(x):\n    return x\n", "missing 1 required positional argument: 'x'"),
    ],
)
def test_a_config_that_fails_is_one_line(parse, tmp_path, text, told):
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        parse(f"--config={path}")
    assert str(path) in str(error.value)
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_the_configs_of_the_project_are_there_outside_of_a_checkout(parse, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "configs", None)  # not there
    path = tmp_path / "mine.py"
    path.write_text("from configs import default\nget_config = default.get_config\n")
    assert parse(f"--config={path}").config.task == "ss"


@pytest.mark.parametrize("line", ["import nearby", "from configs import nearby"])
def test_a_neighbour_is_the_file_beside_the_config(parse, tmp_path, monkeypatch, line):
    """Not one of the same name in the folder where the command is typed."""
    monkeypatch.setitem(sys.modules, "configs", sys.modules.get("configs"))  # to be as before
    for name, task in (("configs", "cd"), ("elsewhere", "denoise")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "nearby.py").write_text(
            "from noise2map_jax.configs import default\n"
            f"def get_config():\n    config = default.get_config()\n    config.task = '{task}'\n"
            "    return config\n"
        )
    (tmp_path / "configs" / "mine.py").write_text(f"{line}\nget_config = nearby.get_config\n")
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    assert parse(f"--config={tmp_path / 'configs' / 'mine.py'}").config.task == "cd"
    for name in ("nearby", "configs.nearby"):
        sys.modules.pop(name, None)


def test_libraries_may_look_up_modules_after_a_config_was_read(parse, tmp_path, monkeypatch):
    """As torch does while it is imported: `inspect` asks each module for its file."""
    monkeypatch.setitem(sys.modules, "configs", configs)
    inspect.getmodule(compile("", __file__, "exec"))  # it remembers the file of each module
    (tmp_path / "configs").mkdir()
    path = tmp_path / "configs" / "mine.py"
    path.write_text("from configs import default\nget_config = default.get_config\n")
    parse(f"--config={path}")
    assert sys.modules["configs"] is not configs
    code = compile(path.read_text(), str(path), "exec")
    assert inspect.findsource(code)[0] == path.read_text().splitlines(keepends=True)


def test_a_study_of_a_task_that_there_is_not(parse):
    with pytest.raises(UserError, match=r"^no study of task 'xx'; expected one of ss, cd$"):
        parse("--config=ablate_noise:xx")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("/usr/bin/noise2map-predict", "noise2map-predict"),
        ("noise2map-predict", "noise2map-predict"),
        ("/checkout/noise2map_jax/predict.py", "python -m noise2map_jax.predict"),
        ("/usr/bin/pytest", "python -m noise2map_jax.predict"),
    ],
)
def test_a_program_is_called_as_it_was_typed(monkeypatch, typed, expected):
    monkeypatch.setattr(sys, "argv", [typed])
    assert command_name("noise2map-predict", "noise2map_jax.predict") == expected
