"""The same image in two splits: refused, or left out of the one that is trained on."""

from pathlib import Path

import pytest
from folder_builds import error, load, picture, run, save, square

from data_prep.__main__ import main
from data_prep.basics.dataset import Dataset, RecordFormat, Scene
from data_prep.shards import twins


def scene(name, split, index=0, **files):
    """A pair with files of its own, or those given."""
    every = {role: Path(f"/s/{name}.{role}") for role in ("pre", "post_image", "post_label")}
    return Scene(name, split, index, 8, 8, every | files)


def digests_of(scenes, **same):
    """Every file has a checksum of its own, but for those said to be the same: b="c.pre"."""
    digests = {path: path.name for s in scenes for path in s.files.values()}
    return digests | {Path(f"/s/{name}"): other for name, other in same.items()}


SCENES = (scene("a", "train"), scene("b", "train"), scene("c", "val"), scene("d", "test"))


@pytest.mark.parametrize(
    ("same", "found"),
    [
        ({}, {}),
        ({"b.pre": "a.pre"}, {}),  # Within a split.
        ({"d.post_label": "a.post_label"}, {}),  # Masks without a building are all the same.
        ({"a.pre": "d.post_image"}, {("train", "a.pre"): ("test", "d.post_image")}),
        (
            {"a.pre": "x", "c.pre": "x", "d.pre": "x"},
            {("train", "a.pre"): ("test", "d.pre"), ("val", "c.pre"): ("test", "d.pre")},
        ),
        ({"b.post_image": "c.pre"}, {("train", "b.post_image"): ("val", "c.pre")}),
    ],
)
def test_what_is_found(same, found):
    told = twins.find(SCENES, digests_of(SCENES, **same))
    names = {(s, p.name): (last, twin.name) for (s, p), (last, twin) in told.items()}
    assert names == found


def test_a_file_divided_by_windows_is_no_twin_of_itself():
    mosaic = Path("/s/mosaic")
    scenes = (scene("a", "train", pre=mosaic), scene("b", "test", pre=mosaic))
    assert twins.find(scenes, digests_of(scenes)) == {}


def test_files_that_other_scenes_use_are_not_rejected():
    """Months of an area: `b` is in two pairs, of which one shows an image of test."""
    months = {name: Path(f"/s/{name}.tif") for name in "abc"}
    scenes = (
        scene("a-b", "train", 0, pre=months["a"], post_image=months["b"]),
        scene("b-c", "train", 1, pre=months["b"], post_image=months["c"]),
        scene("d", "test", pre=Path("/s/d.tif")),
    )
    digests = digests_of(scenes, **{"a.tif": "d.tif"})
    layout = RecordFormat("cd", 8, 3, "uint8", ("no_change", "change"))
    dataset = Dataset("toy", layout, scenes, None, {}, Path("/s"), 11)
    rest = twins.without_twins(dataset, digests)
    assert [(s.name, s.index) for s in rest.scenes] == [("b-c", 0), ("d", 0)]
    assert [(r.path, r.reason, r.is_cause) for r in rest.rejected] == [
        ("a.tif", "is the same image, byte for byte, as d.tif of test", True),
        ("a-b.post_label", "its partner a.tif is rejected", False),
    ]
    assert twins.without_twins(dataset, digests_of(scenes)) is dataset


@pytest.fixture
def source(tmp_path):
    """Four scenes in train and in test, and one in val; two of train are twins of test."""
    folder = tmp_path / "leaky"
    for split, numbers in (("train", range(4)), ("val", [4]), ("test", range(10, 14))):
        for i in numbers:
            save(folder / f"{split}/image/{i}.png", picture(i))
            save(folder / f"{split}/mask/{i}.png", square())
    for twin, one in ((1, 12), (3, 10)):
        (folder / f"train/image/{twin}.png").write_bytes(
            (folder / f"test/image/{one}.png").read_bytes()
        )
    return folder


def test_a_build_refuses_them_and_names_both(source, capsys):
    assert run(source) == 2
    assert error(capsys) == [
        "2 of 18 files cannot be used (--on_error=skip goes on without them)",
        "train/image/1.png: is the same image, byte for byte, as test/image/12.png of test",
        "train/image/3.png: is the same image, byte for byte, as test/image/10.png of test",
    ]
    save(source / "train/image/3.png", picture(3))
    assert run(source) == 2
    assert error(capsys) == [
        "train/image/1.png: is the same image, byte for byte, as test/image/12.png of test"
        " (--on_error=skip goes on without it)"
    ]
    assert not (source.parent / "shards/leaky/1.0.0").exists()


@pytest.mark.parametrize("workers", [1, 2])
def test_skipped_they_leave_train_and_test_stays(source, workers):
    assert run(source, "--on_error=skip", f"--num_workers={workers}") == 0
    manifest, data = load(source, "leaky")
    assert {split: entry["scenes"] for split, entry in manifest["splits"].items()} == {
        "train": ["0", "2"],
        "val": ["4"],
        "test": ["10", "11", "12", "13"],
    }
    assert len(data["train"]) == 2 * 4
    assert len(data["test"]) == 4 * 4
    assert (manifest["found"], manifest["used"], len(manifest["rejected"])) == (18, 14, 4)
    assert manifest["rejected"] == [
        {"path": f"train/image/{i}.png", "reason": reason}
        for i, reason in (
            (1, "is the same image, byte for byte, as test/image/12.png of test"),
            (3, "is the same image, byte for byte, as test/image/10.png of test"),
        )
    ] + [
        {
            "path": f"train/mask/{i}.png",
            "reason": f"its partner train/image/{i}.png is rejected",
        }
        for i in (1, 3)
    ]
    folder = source.parent / "shards/leaky"
    assert main(["verify", str(folder), f"--source={source}", "--num_workers=1"]) == 0


def test_a_split_that_shows_nothing_of_its_own_is_an_error(source, capsys):
    (source / "val/image/4.png").write_bytes((source / "test/image/11.png").read_bytes())
    assert run(source, "--on_error=skip") == 2
    assert error(capsys)[0] == "no scene is left for val: 3 of 18 files cannot be used"
