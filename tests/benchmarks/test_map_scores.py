import argparse
import json

import pytest

from benchmarks.map_scores import _way, run, summary
from noise2map_jax.errors import UserError


def write(path, f1, pixels=100):
    group = {"f1/foreground": f1, "pixels": pixels}
    path.write_text(
        json.dumps({"scores": {"all maps": group, "b": group | {"f1/foreground": None}}})
    )
    return path


def test_scores_are_summed_up_over_seeds(tmp_path):
    paths = [write(tmp_path / f"{seed}.json", f1) for seed, f1 in enumerate((0.5, 0.6, 0.7))]
    name, found = _way(f"large tiles={','.join(map(str, paths))}")
    assert (name, found) == ("large tiles", paths)
    (one,) = summary(name, found).items()
    assert one[0] == "all maps"
    assert one[1]["mean"] == pytest.approx(0.6)
    assert one[1]["standard_deviation"] == pytest.approx(0.1)
    assert (one[1]["least"], one[1]["most"], one[1]["each"]) == (0.5, 0.7, [0.5, 0.6, 0.7])


def test_scores_of_other_pixels_are_refused(tmp_path):
    paths = [write(tmp_path / "a.json", 0.5), write(tmp_path / "b.json", 0.5, 99)]
    with pytest.raises(UserError, match=r"a\.json and .*b\.json were not scored on the same"):
        summary("x", paths)
    (tmp_path / "d.json").write_text("{}")
    for name in ("c", "d"):
        with pytest.raises(UserError, match=rf"x: .*{name}\.json holds no scores of maps"):
            summary("x", [tmp_path / f"{name}.json"])
    for text in ("x", "x=", "x=a.json,"):
        with pytest.raises(UserError, match="is not NAME=FILE,FILE"):
            _way(text)
    with pytest.raises(UserError, match="--scores names 'x' twice"):
        run(argparse.Namespace(scores=["x=a.json", "x=b.json"], output=None))
