"""Damaged files of SpaceNet7, and what hides ground: listed rejections, ignored pixels."""

import shutil

import numpy as np
import pytest
import rasterio
from spacenet7_builds import (
    SIZE,
    SMALL,
    TEST,
    TRAIN,
    built,
    drawn,
    expected_mask,
    image_of,
    label_of,
    run,
    written,
)


@pytest.fixture(scope="module")
def truth():
    return drawn()


@pytest.fixture(scope="module")
def owners(tmp_path_factory):
    return written(tmp_path_factory.mktemp("owner") / "sn7")


@pytest.fixture
def copy(owners, tmp_path):
    return shutil.copytree(owners, tmp_path / "sn7")


def rewrite(path, change):
    """Write a GeoTIFF anew with other bands or another profile."""
    with rasterio.open(path) as source:
        profile, bands = dict(source.profile), source.read()
    bands = change(profile, bands)
    profile |= {"count": len(bands), "height": bands.shape[1], "width": bands.shape[2]}
    profile["dtype"] = bands.dtype.name
    with rasterio.open(path, "w", **profile) as target:
        target.write(bands)


def test_udm_alpha_and_no_data_alone_are_ignored(copy, truth, tmp_path):
    def without_alpha(profile, bands):
        profile.pop("photometric", None)
        profile["nodata"] = None
        return bands[:3]

    def with_nodata(profile, bands):
        bands[:3, :9, :7] = 200  # Alpha is 255 there.
        profile["nodata"] = 200
        return bands

    rewrite(image_of(copy, TRAIN, "2018_12"), without_alpha)  # Its UDM says where the cloud is.
    udm = copy / "train" / SMALL / "UDM_masks"
    assert len(list(udm.iterdir())) == 1
    cloudy = next(date for (a, date), t in truth.items() if a == SMALL and t.cloud is not None)
    shutil.rmtree(udm)  # Alpha says it.
    rewrite(image_of(copy, TEST, "2018_11"), with_nodata)
    _, splits = built(copy, tmp_path, "--months=all")
    for split, area, date in (("train", TRAIN, "2018_12"), ("train", SMALL, cloudy)):
        month = truth[area, date]
        assert month.cloud.sum() > 100
        mask = splits[split][f"{area}/{date}"]["mask"][..., 0]
        np.testing.assert_array_equal(mask, expected_mask(month))
    expected = expected_mask(truth[TEST, "2018_11"])
    values = truth[TEST, "2018_11"].image
    expected[: values.shape[0], :SIZE][(values == 200).all(-1)] = 255
    expected[:9, :7] = 255
    np.testing.assert_array_equal(splits["test"][f"{TEST}/2018_11"]["mask"][..., 0], expected)


def test_files_that_the_names_pass_over_are_listed(copy, tmp_path, capsys):
    """A cloudy month whose UDM is overlooked would be taken for a clear one."""
    udm = next((copy / "train").glob("*/UDM_masks/*_UDM.tif"))
    udm.rename(udm.with_suffix(".TIF"))
    area = copy / "train" / "L15-0368E-1245N_1474_3210_13"
    (area / "images").mkdir(parents=True)
    (area / "images" / "a.tif").write_bytes(b"")
    assert run(copy, tmp_path / "data") == 2
    said = capsys.readouterr().err
    assert f"{udm.with_suffix('.TIF').name}: does not end in _UDM.tif" in said
    assert "images/a.tif: lies in an area that has no folder images_masked" in said


def test_months_of_different_size_are_cropped_to_the_common_grid(copy, truth, tmp_path):
    rewrite(image_of(copy, TEST, "2018_12"), lambda _, bands: bands[:, :, :-1])
    _, splits = built(copy, tmp_path, "--task=cd")
    months = truth[TEST, "2018_11"], truth[TEST, "2018_12"]
    expected = expected_mask(*months, change="xor")
    expected[:, SIZE - 1] = 255
    scene = splits["test"][f"{TEST}/2018_11-2018_12"]
    np.testing.assert_array_equal(scene["mask"][..., 0], expected)
    shown = slice(0, SIZE), slice(0, SIZE - 1)
    np.testing.assert_array_equal(scene["pre"][shown], months[0].image[shown])


def _moved(profile, bands):
    profile["transform"] = profile["transform"] @ rasterio.Affine.translation(3, 0)
    return bands


def _without_crs(profile, bands):
    profile["crs"] = None
    return bands


DAMAGE = {
    "cut": (lambda s: image_of(s).write_bytes(image_of(s).read_bytes()[:3000]), "cannot be read"),
    "head": (lambda s: image_of(s).write_bytes(b"II*\0 nothing"), "cannot be read"),
    "empty": (lambda s: image_of(s).write_bytes(b""), "is empty"),
    "no_crs": (lambda s: rewrite(image_of(s), _without_crs), "has no CRS"),
    "bands": (lambda s: rewrite(image_of(s), lambda p, b: b[:2]), "has 2 bands"),
    "uint16": (
        lambda s: rewrite(image_of(s), lambda p, b: b[:3].astype(np.uint16)),
        "bands of uint16",
    ),
    "moved": (lambda s: rewrite(image_of(s), _moved), "has another grid than"),
    "label_missing": (lambda s: label_of(s).unlink(), "has no label of the same month"),
    "image_missing": (lambda s: image_of(s).unlink(), "has no image of the same month"),
    "label_cut": (lambda s: label_of(s).write_text('{"type": '), "is no JSON"),
    "label_of_another_area": (
        lambda s: shutil.copy(label_of(s, TRAIN, folder="labels"), label_of(s)),
        "none of which meets the image",
    ),
    "label_of_another_name": (
        lambda s: label_of(s).rename(label_of(s).with_name(label_of(s, TRAIN).name)),
        "names the area",
    ),
    "image_name": (
        lambda s: image_of(s).rename(image_of(s).with_name("april.tif")),
        "is not named global_monthly",
    ),
    "udm": (
        lambda s: next((s / "train" / TEST / "UDM_masks").iterdir()).write_bytes(b"II*\0"),
        "cannot be read",
    ),
    "udm_moved": (
        lambda s: rewrite(next((s / "train" / TEST / "UDM_masks").iterdir()), _moved),
        "has another grid than",
    ),
}

# A month alone may lie anywhere; of the others every second one is tried with each task.
TRIALS = [(name, ("ss", "cd")[number % 2]) for number, name in enumerate(DAMAGE)]
TRIALS = [(name, "cd" if name == "moved" else task) for name, task in TRIALS]


@pytest.mark.parametrize(("name", "task"), TRIALS)
def test_damage_is_listed(copy, truth, tmp_path, capsys, name, task):
    damage, reason = DAMAGE[name]
    damage(copy)
    options = (f"--task={task}", "--months=all")
    assert run(copy, tmp_path / "data", *options) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "data" / "made" / "1.0.0").exists()
    manifest, splits = built(copy, tmp_path, *options, "--on_error=skip")
    rejected = {entry["path"]: entry["reason"] for entry in manifest["rejected"]}
    assert any(reason in why for why in rejected.values())
    assert all(f"/{TEST}/" in path for path in rejected)
    lost = 4 - len(splits["test"]) if task == "ss" else 3 - len(splits["test"])
    assert lost in ((1,) if task == "ss" or "udm" not in name else (1, 2))
    used = set(manifest["files"])
    assert not used & rejected.keys()
    for split, scenes in splits.items():
        for scene_name, scene in scenes.items():
            area, _, dates = scene_name.partition("/")
            months = [truth[area, date] for date in dates.split("-")]
            change = "xor" if task == "cd" else None
            expected = expected_mask(*months, change=change)
            np.testing.assert_array_equal(scene["mask"][..., 0], expected, err_msg=split)
