"""The command line: a user's mistake is one line and exit code 2."""

import shlex
import subprocess
import sys

import pytest

from data_prep.__main__ import main
from data_prep.builders.catalogue import BUILDERS
from data_prep.miniatures.command import MINIATURES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: NAME"),
        (["folders"], "invalid choice: 'folders'"),
        (["folder", "--data_dir=x"], "required: --source"),
        (["folder", "--source=x", "--data_dir=y", "--tile=3"], "unrecognized arguments: --tile=3"),
        (["folder", "--source=x", "--data_dir=y", "--tile_size=0"], "'0' is not a whole number"),
        (["folder", "--source=x", "--data_dir=y", "--task=sss"], "invalid choice: 'sss'"),
        (["folder", "--source=x", "--data_dir=y", "--splits=1,1,1"], "their sum must be 1"),
        (["folder", "--source=nowhere", "--data_dir=y"], "--source=nowhere: not found"),
        (["folder", "--source=x", "--data_dir=y", "--name=A-b"], "--name=A-b: write a lower-case"),
        (["synthetic", "--data_dir=y"], "required: --task"),
        (["synthetic", "--data_dir=y", "--task=denoise"], "invalid choice: 'denoise'"),
    ],
)
def test_mistakes_are_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("data_prep: error: ")
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_the_process_exits_with_2_and_no_traceback(tmp_path):
    command = [sys.executable, "-m", "data_prep", "folder", f"--source={tmp_path}"]
    done = subprocess.run([*command, f"--data_dir={tmp_path}"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"data_prep: error: --source={tmp_path}: holds no PNG, JPEG or TIFF\n"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    command = ["synthetic", "--task=ss", "--num_scenes=1,0,0", "--num_workers=1"]
    assert main([*command, f"--data_dir={tmp_path / 'file'}"]) == 2
    captured = capsys.readouterr()
    assert captured.err == (
        f"data_prep: error: --data_dir={tmp_path / 'file'} is a file; expected a folder of"
        " datasets\n"
    )


@pytest.mark.parametrize("name", BUILDERS)
def test_help_names_every_option(name, capsys):
    with pytest.raises(SystemExit) as caught:
        main([name, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for option in ("--data_dir", "--name", "--tile_size", "--overwrite", "--num_workers", "--seed"):
        assert option in text


def test_an_interrupted_build_says_so_in_a_line(monkeypatch, tmp_path, capsys):
    def interrupted(args, name):
        raise KeyboardInterrupt

    monkeypatch.setattr(BUILDERS["synthetic"], "plan", interrupted)
    assert main(["synthetic", "--task=ss", f"--data_dir={tmp_path}"]) == 130
    assert capsys.readouterr().err == "data_prep: interrupted; the same command starts again\n"


@pytest.mark.parametrize("name", sorted(MINIATURES))
def test_a_miniature_says_how_to_build_it(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["miniature", name, f"--output={tmp_path / 'my copy'}"]) == 0
    command = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert command[:3] == ["python", "-m", "data_prep"]
    assert main([*command[3:], "--num_workers=1"]) == 0
    (folder,) = (tmp_path / "data").iterdir()
    assert main(["verify", str(folder), f"--source={tmp_path / 'my copy'}"]) == 0
    assert "source files are unchanged" in capsys.readouterr().out
