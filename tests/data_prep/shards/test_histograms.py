"""Statistics of the bands: exact, against NumPy on the arrays that went in."""

import json

import numpy as np
import prepared_datasets
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.basics.dataset import RecordFormat, Scene
from data_prep.shards import histograms, writer
from data_prep.shards.records import scene_records


def expected(pixels):
    """What the statistics of [N, C] pixels must be, from the pixels themselves."""
    low, high = np.percentile(pixels, (1, 99), axis=0, method="inverted_cdf")
    return [
        {"mean": mean, "std": std, "low": int(one), "high": int(other)}
        for mean, std, one, other in zip(
            pixels.mean(0, np.float64), pixels.std(0, np.float64), low, high, strict=True
        )
    ]


def assert_equal(found, pixels):
    for band, wanted in zip(found, expected(pixels), strict=True):
        assert (band["low"], band["high"]) == (wanted["low"], wanted["high"])
        np.testing.assert_allclose(
            (band["mean"], band["std"]), (wanted["mean"], wanted["std"]), rtol=1e-9, atol=1e-9
        )


def pixels_of(dataset, split):
    """All pixels of a split that count, both dates together, [N, C]."""
    parts = []
    for scene in dataset.scenes:
        if scene.split == split:
            arrays = dataset.load(scene)
            for name in dataset.format.images:
                image = arrays[name]
                parts.append(image[arrays["mask"][..., 0] != 255])
    return np.concatenate(parts)


@pytest.mark.parametrize(
    ("task", "num_bands", "dtype"),
    [("ss", 3, "uint8"), ("ss", 5, "uint16"), ("cd", 5, "uint16"), ("denoise", 3, "uint8")],
)
def test_the_manifest_tells_the_pixels_that_count(tmp_path, monkeypatch, task, num_bands, dtype):
    """Of the scenes' 30 x 20 pixels and more, five are ignored; padding reaches to 32 x 32."""
    options = {"task": task, "num_bands": num_bands, "dtype": dtype}
    dataset, folder = prepared_datasets.write(tmp_path, monkeypatch, **options)
    manifest = json.loads((folder / "manifest.json").read_text())
    for split in ("train", "test"):
        entry = manifest["splits"][split]
        assert len(entry["bands"]) == num_bands
        assert_equal(entry["bands"], pixels_of(dataset, split))
        area = sum(s.height * s.width for s in dataset.scenes if s.split == split)
        padding = entry["num_records"] * 256 - area
        assert entry["ignore_pixels"] == padding + 5 * entry["num_scenes"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_they_do_not_depend_on_the_workers(tmp_path, dtype):
    dataset = prepared_datasets.plan("cd", 5, dtype)
    one, two = (
        writer.write(dataset, tmp_path / str(workers), num_workers=workers) for workers in (1, 2)
    )
    assert one["splits"] == two["splits"]
    assert one["splits"]["train"]["bands"] != one["splits"]["test"]["bands"]


def test_what_is_ignored_counts_nowhere():
    """Bright pixels under 255 in the mask, in a scene that ends within its tile."""
    image = np.full((3, 5, 2), 7, np.uint8)
    image[..., 1] = np.arange(15).reshape(3, 5)
    mask = np.zeros((3, 5, 1), np.uint8)
    image[1, 2:], mask[1, 2:] = 255, 255
    layout = RecordFormat("ss", 4, 2, "uint8", ("background", "building"))
    scene = Scene("s", "train", 0, 3, 5)
    counts = scene_records(lambda _: {"image": image, "mask": mask}, layout, scene).band_counts
    assert counts.sum(1).tolist() == [12, 12]
    assert counts[0, 7] == 12
    assert np.flatnonzero(counts[1]).tolist() == [0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14]


def test_without_a_pixel_there_is_nothing_to_tell():
    empty = dict.fromkeys(("mean", "std", "low", "high"))
    assert histograms.statistics(histograms.zeros(2, "uint8")) == [empty, empty]


@pytest.mark.parametrize("num_bands", [1, 3])
def test_counts_of_other_bands_are_not_added(num_bands):
    part = histograms.to_json(histograms.zeros(num_bands, "uint8"))
    with pytest.raises(ValueError, match="zip"):
        histograms.add_json(histograms.zeros(2, "uint8"), part)


def test_sums_beyond_64_bits_are_exact():
    counts = histograms.zeros(1, "uint16")
    counts[0, 65534:] = 2**40
    (band,) = histograms.statistics(counts)
    assert band == {"mean": 65534.5, "std": 0.5, "low": 65534, "high": 65535}


def test_percentiles_beyond_the_digits_of_floats_are_exact():
    counts = histograms.zeros(1, "uint8")
    counts[0, :2] = 2**53, 99 * 2**53 + 100  # one pixel short of a hundredth
    (band,) = histograms.statistics(counts)
    assert (band["low"], band["high"]) == (1, 1)
    counts[0, :2] += 1, -1
    (band,) = histograms.statistics(counts)
    assert (band["low"], band["high"]) == (0, 1)


@given(
    st.integers(1, 400),
    st.sampled_from(["uint8", "uint16"]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 4, 255]),
)
def test_any_pixels(number, dtype, seed, highest):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, highest, (number, 1, 3), dtype, endpoint=True)
    valid = rng.random((number, 1)) < 0.7
    counts = histograms.count(image, valid)
    merged = histograms.count(image, ~valid)
    if valid.any():
        assert_equal(histograms.statistics(counts), image[valid])
    histograms.add_json(merged, json.loads(json.dumps(histograms.to_json(counts))))
    np.testing.assert_array_equal(merged, histograms.count(image))
    assert_equal(histograms.statistics(merged), image.reshape(-1, 3))
