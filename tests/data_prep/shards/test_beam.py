"""Shards written by Apache Beam: those of local workers, byte for byte."""

import itertools
import json
import pathlib
import sys
import warnings

import numpy as np
import prepared_datasets
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_prep.__main__ import main
from data_prep.basics.dataset import Dataset, RecordFormat, Scene
from data_prep.basics.errors import UserError
from data_prep.basics.rejection import Unusable
from data_prep.shards import beam, shard_plan, writer
from data_prep.shards.records import SceneRecords
from data_prep.shards.tally import Tally

try:
    import apache_beam
except ImportError:
    apache_beam = None

needs_beam = pytest.mark.skipif(apache_beam is None, reason="apache_beam is not installed")
DIRECT = beam.Runner("DirectRunner")


@pytest.fixture(autouse=True)
def _warnings_of_beam(recwarn):
    """Beam's own uses of Python that are deprecated, or files that it forgets to close."""
    for category in (DeprecationWarning, FutureWarning, ResourceWarning):
        warnings.filterwarnings("ignore", category=category, module=r"apache_beam\.")


def contents(folder):
    assert not list(folder.glob("part-*")), "results were left behind"
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Damaged:
    """A picklable loader: scenes of some indices have a damaged file, shared or their own."""

    def __init__(self, indices):
        self.indices = indices

    def __call__(self, scene):
        if scene.index in self.indices:
            raise Unusable({scene.files["image"]: f"is damaged, says scene {scene.name}"})
        return prepared_datasets.draw("ss", 5, "uint16", scene)


def dataset(source, counts, damaged):
    """Scenes of five bands of uint16, of which each two share a mask file."""

    def files(split, i):
        return {"image": source / f"{split}_{i}.png", "mask": source / f"{split}_{i // 2}_mask.png"}

    scenes = tuple(
        Scene(f"s{i}", split, i, 16, 10 + i, files(split, i))
        for split, number in zip(("train", "val", "test"), counts, strict=True)
        for i in range(number)
    )
    found = {path for scene in scenes for path in scene.files.values()}
    for path in found:
        path.write_bytes(path.name.encode())
    layout = RecordFormat("ss", 16, 5, "uint16", ("background", "building"))
    about = prepared_datasets.ABOUT
    load = Damaged(damaged)
    return Dataset("toy", layout, scenes, load, about, source, len(found), on_error="skip")


@needs_beam
@settings(
    max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    counts=st.tuples(st.integers(12, 16), st.integers(1, 3), st.integers(0, 3)),
    damaged=st.sets(st.integers(1, 15), max_size=4),
    workers=st.sampled_from([1, 2, 3]),
)
def test_beam_writes_what_local_workers_write(tmp_path_factory, counts, damaged, workers):
    """More than ten shards, of which some lose scenes: their lengths differ."""
    folder = tmp_path_factory.mktemp("case")
    source = folder / "source"
    source.mkdir()
    plan = dataset(source, counts, damaged)
    limit = shard_plan.SHARD_BYTES
    shard_plan.SHARD_BYTES = 16 * 16 * 5 * 2
    try:
        written = writer.write(plan, folder / "beam", num_workers=1, runner=DIRECT)
        local = writer.write(plan, folder / "local", num_workers=workers)
    finally:
        shard_plan.SHARD_BYTES = limit
    assert written == local
    assert list(written["splits"]) == list(local["splits"])
    one, two = (contents(folder / name / "toy/1.0.0") for name in ("beam", "local"))
    assert one == two
    assert main(["verify", str(folder / "beam/toy"), "--num_workers=1"]) == 0


@needs_beam
def test_the_command_builds_with_beam_in_two_processes(tmp_path, capsys):
    command = ["synthetic", "--task=cd", "--num_scenes=3,2,1", "--scene_size=40", "--tile_size=32"]
    flags = "--direct_num_workers=2 --direct_running_mode=multi_processing"
    options = ["--beam_runner=DirectRunner", f"--beam_options={flags}"]
    assert main([*command, f"--data_dir={tmp_path / 'beam'}", *options]) == 0
    assert main([*command, f"--data_dir={tmp_path / 'local'}", "--num_workers=1"]) == 0
    name = "synthetic_cd/1.0.0"
    assert contents(tmp_path / "beam" / name) == contents(tmp_path / "local" / name)
    assert [path.name for path in (tmp_path / "beam").iterdir()] == ["synthetic_cd"]


@needs_beam
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("scene s1 is broken"), r"^scene s1 is broken$"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (KeyError("bug"), r"--beam_runner=DirectRunner: the pipeline failed \(.*bug"),
    ],
)
def test_an_error_in_the_pipeline_is_one_line_and_leaves_nothing(tmp_path, error, message):
    plan = prepared_datasets.plan()

    def broken(scene):
        if scene.name == "s1":
            raise error
        return plan.load(scene)

    fields = {**plan.__dict__, "load": broken}
    with pytest.raises(UserError, match=message) as caught:
        writer.write(Dataset(**fields), tmp_path, num_workers=1, runner=DIRECT)
    assert "\n" not in str(caught.value)
    assert [path.name for path in (tmp_path / "toy").iterdir()] == [".lock"]


@needs_beam
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--beam_options=--direct_num_workers=2"], "--beam_options needs --beam_runner"),
        (["--beam_runner=No"], "--beam_runner=No: Unexpected pipeline runner: No"),
        (["--beam_runner=DirectRunner", "--beam_options=x"], "--beam_options: 'x' is not a flag"),
        (["--beam_runner=DirectRunner", "--beam_options='"], "No closing quotation"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, options, message):
    assert main(["synthetic", "--task=ss", f"--data_dir={tmp_path}", *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_without_beam_the_error_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.delitem(sys.modules, "apache_beam", raising=False)
    command = ["synthetic", "--task=ss", f"--data_dir={tmp_path}", "--beam_runner=DirectRunner"]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert (
        "--beam_runner=DirectRunner needs Apache Beam: pip install 'noise2map_jax[beam]'" in error
    )
    assert error.count("\n") == 1


@given(
    st.lists(
        st.tuples(st.sampled_from(["train", "val", "test"]), st.booleans(), st.integers(0, 3)),
        max_size=12,
    ),
    st.lists(st.integers(0, 12), max_size=4),
)
@settings(deadline=None)
def test_parts_of_a_tally_merge_to_the_whole(scenes, cuts):
    """However the scenes are cut into parts, and through JSON."""
    layout = RecordFormat("cd", 16, 5, "uint16", ("no_change", "change"))
    rng = np.random.default_rng(len(scenes))
    results = []
    for number, (split, is_good, shared) in enumerate(scenes):
        files = {"pre": pathlib.Path(f"/s/{number}"), "mask": pathlib.Path(f"/s/mask{shared}")}
        ground = f"g{shared}" if shared else None
        scene = Scene(f"s{number}", split, number, 16, 16, files, place_name=ground)
        cause = files["pre" if number % 2 else "mask"]
        reasons = {} if is_good else {cause: f"is bad, says {number}"}
        records = [("k", {})] * (number + 1) if is_good else []
        pixels = np.array([number, 1]) * is_good
        bands = np.zeros((5, 65536), np.int64)
        bands[:, rng.integers(0, 65536, 3)] = 3 * is_good
        counts = (2 * is_good, 1 * is_good, bands)
        results.append(SceneRecords(scene, records, pixels, *counts, reasons))
    whole = Tally(layout)
    for result in results:
        whole.add(result)
    merged = Tally(layout)
    edges = sorted({0, len(results), *(cut for cut in cuts if cut < len(results))})
    for start, stop in itertools.pairwise(edges):
        part = Tally(layout)
        for result in results[start:stop]:
            part.add(result)
        merged.merge(json.loads(json.dumps(part.to_json())))
    assert merged.to_json() == whole.to_json()
    assert merged.splits() == whole.splits()
    assert list(merged.splits()) == list(whole.splits())
    assert list(merged.reasons.items()) == list(whole.reasons.items())
    assert merged.partners == whole.partners
