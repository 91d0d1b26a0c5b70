import pathlib

import noise2map_jax
from noise2map_jax.experiment import agreement
from noise2map_jax.experiment.agreement import disagreements, mistakes, source_digest

ONE = {"seed": 0, "noise.kind": "clean", "the records of task ss": "0a"}


def test_what_differs_is_named_with_the_processes():
    assert disagreements([ONE, dict(ONE)]) == ""
    other = ONE | {"seed": 1}
    assert disagreements([ONE, other, dict(ONE), other, {"seed": 0}]) == (
        "processes of one run differ from process 0: processes 1, 3 in seed (1, not 0); process 4 "
        "in noise.kind (None, not 'clean'), the records of task ss (None, not '0a'); start all "
        "of them with the same command, code, data and --workdir"
    )
    assert "process 1 in more (2, not None);" in disagreements([ONE, ONE | {"more": 2}])


def test_a_mistake_of_one_is_told_on_all():
    assert mistakes(["", ""]) == ""
    assert mistakes(["no dataset"] * 3) == "no dataset"
    assert mistakes(["", "no dataset", "no dataset", "disk"]) == (
        "processes 1, 2: no dataset; process 3: disk"
    )


def test_the_digest_of_the_code_changes_with_it(tmp_path, monkeypatch):
    digests = set()
    files = (("a", "x = 1"), ("a", "x = 2"), ("b", "x = 2"), ("b", "x = 2"))
    for number, (name, text) in enumerate(files):
        folder = tmp_path / str(number) / "package"
        (folder / "inner").mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").touch()
        (folder / "inner" / f"{name}.py").write_text(text)
        (folder / "inner" / f"{name}.pyc").write_bytes(str(folder).encode())
        monkeypatch.setattr(noise2map_jax, "__file__", str(folder / "__init__.py"))
        digests.add(source_digest.__wrapped__())
    assert len(digests) == 3


def test_one_process_needs_nobody():
    def refuse(made):
        raise AssertionError

    assert agreement.agreed(lambda: pathlib.Path("made"), refuse) == pathlib.Path("made")
