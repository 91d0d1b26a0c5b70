import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from noise2map_jax.errors import UserError
from noise2map_jax.method import augment


def a_batch(num=64, size=8):
    image = jax.random.randint(jax.random.key(0), (num, size, size, 3), 0, 255).astype(jnp.uint8)
    return {"image": image, "mask": image[..., :1]}


def test_the_eight_symmetries_are_those_of_numpy():
    image = np.arange(16).reshape(4, 4)
    found = augment.flip_and_turn(
        jnp.asarray(np.repeat(image[None, :, :, None], 8, axis=0)), jnp.arange(8)
    )[..., 0]
    turned = [np.rot90(image, k) for k in range(4)]
    expected = turned + [t.T for t in turned]
    assert {f.tobytes() for f in np.asarray(found, image.dtype)} == {
        np.ascontiguousarray(e).tobytes() for e in expected
    }
    np.testing.assert_array_equal(found[0], image)


def test_image_and_mask_move_together():
    options = augment.Augmentation(crop_size=5)
    out = augment.augment_geometry(options, jax.random.key(1), a_batch())
    assert out["image"].shape == (64, 5, 5, 3)
    assert out["image"].dtype == out["mask"].dtype == jnp.uint8
    np.testing.assert_array_equal(out["image"][..., :1], out["mask"])
    assert len({np.asarray(m).tobytes() for m in out["mask"]}) == 64


def test_crops_reach_every_corner_and_nothing_else():
    rows = jnp.broadcast_to(jnp.arange(8, dtype=jnp.uint8)[None, :, None, None], (500, 8, 8, 1))
    options = augment.Augmentation(flips_and_turns=False, crop_size=6)
    out = augment.augment_geometry(options, jax.random.key(0), {"image": rows})["image"]
    assert set(np.unique(out[:, 0])) == {0, 1, 2}
    np.testing.assert_array_equal(out[:, -1] - out[:, 0], np.full((500, 6, 1), 5))


def test_rows_and_columns_of_a_crop_are_drawn_by_themselves():
    numbered = jnp.broadcast_to(jnp.arange(30).reshape(1, 5, 6, 1), (500, 5, 6, 1))
    options = augment.Augmentation(flips_and_turns=False, crop_size=4)
    out = augment.augment_geometry(options, jax.random.key(0), {"image": numbered})["image"]
    corners = np.array([6 * row + column for row in range(2) for column in range(3)])
    assert set(np.unique(out[:, 0, 0])) == set(corners)
    square = 6 * np.arange(4)[:, None] + np.arange(4)
    np.testing.assert_array_equal(out[..., 0] - out[:, :1, :1, 0], np.tile(square, (500, 1, 1)))
    whole = augment.Augmentation(flips_and_turns=False, crop_size=5)
    square = {"image": numbered[:2, :, :5]}
    out = augment.augment_geometry(whole, jax.random.key(0), square)
    np.testing.assert_array_equal(out["image"], square["image"])


def test_each_place_of_a_crop_is_as_frequent():
    """Of a tile that is one pixel higher and wider than the crop there are two rows and columns."""
    numbered = jnp.broadcast_to(jnp.arange(9).reshape(1, 3, 3, 1), (4000, 3, 3, 1))
    options = augment.Augmentation(flips_and_turns=False, crop_size=2)
    out = augment.augment_geometry(options, jax.random.key(0), {"image": numbered})["image"]
    corners, counts = np.unique(out[:, 0, 0], return_counts=True)
    assert corners.tolist() == [0, 1, 3, 4]
    np.testing.assert_allclose(counts, np.full(4, 1000), atol=5 * np.sqrt(4000 * 3 / 16))


def test_by_default_each_of_the_eight_symmetries_is_as_frequent():
    assert augment.Augmentation() == augment.Augmentation(
        True, 0, 0.0, 0.0, False, (1.0, 1.0), 0.0, 0.0, 0.0
    )
    square = jnp.broadcast_to(jnp.arange(4).reshape(1, 2, 2, 1), (4000, 2, 2, 1))
    out = augment.augment_geometry(augment.Augmentation(), jax.random.key(0), {"image": square})
    _, counts = np.unique(np.asarray(out["image"]).reshape(4000, 4), axis=0, return_counts=True)
    assert len(counts) == 8
    np.testing.assert_allclose(counts, np.full(8, 500), atol=5 * np.sqrt(4000 * 7 / 64))


def test_nothing_asked_for_changes_nothing():
    batch = a_batch()
    options = augment.Augmentation(flips_and_turns=False)
    out = augment.augment_geometry(options, jax.random.key(1), batch)
    np.testing.assert_array_equal(out["image"], batch["image"])


def test_dates_are_exchanged_for_about_half_of_the_pairs():
    batch = {"pre": jnp.zeros((400, 2, 2, 3)), "post": jnp.ones((400, 2, 2, 3))}
    options = augment.Augmentation(exchange_dates=True)
    out = augment.augment_geometry(options, jax.random.key(0), batch)
    np.testing.assert_array_equal(out["pre"] + out["post"], np.ones((400, 2, 2, 3)))
    assert 150 < float(out["pre"][:, 0, 0, 0].sum()) < 250
    assert all(len(np.unique(image)) == 1 for image in np.asarray(out["pre"]))  # whole images
    image = {"image": batch["post"]}  # which has no date
    assert augment.augment_geometry(options, jax.random.key(0), image).keys() == {"image"}
    kept = augment.augment_geometry(augment.Augmentation(), jax.random.key(0), batch)
    assert not kept["pre"].any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"crop_size": -1}, "-1"),
        ({"contrast": 1.0}, "1.0"),
        ({"contrast": -0.1}, "contrast -0.1"),
        ({"brightness": -0.1}, "-0.1"),
        ({"zoom": (2.0, 0.5)}, r"zoom is \(2.0, 0.5\)"),
        ({"zoom": (0.0, 1.0)}, "0.0"),
        ({"zoom": (1.0,)}, "least, most"),
        ({"zoom": (1.0, float("inf"))}, "inf"),
        ({"zoom": (1.0, 17.0)}, "to 16"),
        ({"zoom": 0.5}, "zoom is 0.5"),
        ({"zoom": ("a", "b")}, "zoom is"),
        ({"brightness": float("inf")}, "inf"),
        ({"brightness": float("nan")}, "nan"),
        ({"colour": -0.1}, "colour is -0.1"),
        ({"colour": float("nan")}, "colour is nan"),
        ({"blur": -1.0}, "blur -1.0"),
        ({"blur": 5.0}, "blur 5.0.*<= 4"),
        ({"paste": 1.5}, "paste is 1.5"),
        ({"unchanged": -0.5}, "unchanged is -0.5"),
    ],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        augment.Augmentation(**options)


def test_options_stay_as_they_were_checked():
    options = augment.Augmentation(contrast=0.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.contrast = 2.0


def test_a_crop_larger_than_the_tile_is_refused():
    with pytest.raises(UserError, match=r"crop_size is 9.*8 x 8"):
        augment.augment_geometry(augment.Augmentation(crop_size=9), jax.random.key(0), a_batch())


def test_the_middle_is_cut_out():
    images = jnp.arange(36).reshape(1, 6, 6, 1)
    np.testing.assert_array_equal(
        augment.centre_crop(images, 2)[0, :, :, 0], np.array([[14, 15], [20, 21]])
    )
    assert augment.centre_crop(images, 0) is images
    wide = jnp.arange(48).reshape(1, 6, 8, 1)
    np.testing.assert_array_equal(
        augment.centre_crop(wide, 2)[0, :, :, 0], np.array([[19, 20], [27, 28]])
    )


def test_scales_are_drawn_between_the_limits_evenly_over_their_logarithm():
    """A ramp over the tile: its steepness in the crop tells the scale, its start the place."""
    ramp = jnp.broadcast_to(jnp.arange(64.0)[:, None, None], (2000, 64, 64, 1))
    mask = jnp.zeros((2000, 64, 64, 1), jnp.uint8)
    options = augment.Augmentation(flips_and_turns=False, crop_size=8, zoom=(0.25, 1.0))
    out = augment.augment_geometry(options, jax.random.key(0), {"image": ramp, "mask": mask})
    image = np.asarray(out["image"])[..., 0]
    assert image.shape == (2000, 8, 8)
    log_zoom = -np.log2((image[:, 6, 0] - image[:, 1, 0]) / 5)  # nearly: kernels are sampled
    assert (log_zoom.min() > -2.03, log_zoom.max() < 0.03) == (True, True)
    counts, _ = np.histogram(log_zoom, bins=4, range=(-2, 0))
    np.testing.assert_allclose(counts, np.full(4, 500), atol=5 * np.sqrt(2000 * 3 / 16))
    middle = image[:, 3:5, 0].mean(axis=1) + 0.5  # in pixels of the tile
    reach = 4 / 2**log_zoom
    assert ((middle - reach).min() > -0.1, (middle + reach).max() < 64.1) == (True, True)
    share = (middle - reach) / (64 - 2 * reach)  # of the room there is
    counts, _ = np.histogram(share, bins=4, range=(-0.01, 1.01))
    np.testing.assert_allclose(counts, np.full(4, 500), atol=5 * np.sqrt(2000 * 3 / 16))


def test_all_images_of_a_record_are_zoomed_alike_and_classes_stay_classes():
    mask = jnp.kron(jnp.arange(16).reshape(4, 4) % 3, jnp.ones((8, 8))).astype(jnp.uint8)
    mask = jnp.broadcast_to(mask[None, :, :, None], (32, 32, 32, 1))
    batch = {"pre": 100 * mask, "post": 100 * mask, "mask": mask}
    options = augment.Augmentation(crop_size=16, zoom=(0.5, 2.0))
    out = augment.augment_geometry(options, jax.random.key(0), batch)
    np.testing.assert_array_equal(out["pre"], out["post"])
    assert set(np.unique(out["mask"])) == {0, 1, 2}
    far = np.abs(np.asarray(out["pre"], int) - 100 * np.asarray(out["mask"], int)) > 60
    assert far.mean() < 0.06  # only along edges, where classes are not mixed
    assert len({np.asarray(m).tobytes() for m in out["mask"]}) > 25


def test_without_zoom_crops_stay_where_they_were():
    options = augment.Augmentation(crop_size=5)
    alike = augment.Augmentation(crop_size=5, zoom=(1, 1), paste=0.0)
    found = [
        augment.augment_geometry(o, jax.random.key(3), a_batch())["image"] for o in (options, alike)
    ]
    np.testing.assert_array_equal(*found)


def test_a_scale_that_sees_more_than_the_tile_is_refused():
    options = augment.Augmentation(crop_size=6, zoom=(0.5, 1.0))
    with pytest.raises(UserError, match=r"begins at 0.5.*6 pixels see up to 12.*8 x 8"):
        augment.augment_geometry(options, jax.random.key(0), a_batch())


def test_foreground_is_pasted_into_the_share_that_was_asked_for():
    mask = jnp.zeros((1000, 2, 2, 1), jnp.uint8).at[1::2].set(1)
    options = augment.Augmentation(flips_and_turns=False, paste=0.25)
    out = augment.augment_geometry(options, jax.random.key(0), {"image": 9 * mask, "mask": mask})
    np.testing.assert_array_equal(out["image"], 9 * out["mask"])
    pasted = int(out["mask"][::2, 0, 0, 0].sum())
    assert abs(pasted - 125) < 5 * np.sqrt(500 * 3 / 16)


def test_the_share_that_was_asked_for_shows_the_later_date_twice():
    mask = jnp.tile(jnp.array([0, 1, 255], jnp.uint8).reshape(1, 3, 1, 1), (1000, 1, 3, 1))
    batch = {"pre": jnp.zeros((1000, 3, 3, 3)), "post": jnp.ones((1000, 3, 3, 3)), "mask": mask}
    options = augment.Augmentation(flips_and_turns=False, unchanged=0.25)
    out = augment.augment_geometry(options, jax.random.key(0), batch)
    same = np.asarray(out["pre"][:, 0, 0, 0] == 1)
    assert abs(same.sum() - 250) < 5 * np.sqrt(1000 * 3 / 16)
    np.testing.assert_array_equal(
        out["pre"], np.broadcast_to(same[:, None, None, None], (1000, 3, 3, 3))
    )
    np.testing.assert_array_equal(out["post"], batch["post"])
    np.testing.assert_array_equal(out["mask"][~same], mask[~same])
    np.testing.assert_array_equal(out["mask"][same], np.where(mask[same] == 255, 255, 0))


def test_what_is_pasted_into_the_same_dates_is_new():
    mask = jnp.zeros((200, 2, 2, 1), jnp.uint8).at[1::2].set(1)
    ground = jnp.zeros_like(mask).at[::2].set(4)  # of the later date where nothing is built
    batch = {"pre": 0 * mask, "post": ground + 9 * mask, "mask": mask}
    options = augment.Augmentation(flips_and_turns=False, unchanged=0.5, paste=1.0)
    out = {
        k: np.asarray(v)[::2, 0, 0, 0]
        for k, v in augment.augment_geometry(options, jax.random.key(0), batch).items()
    }
    same, pasted = out["pre"] == 4, out["post"] == 9
    np.testing.assert_array_equal(out["mask"], pasted)
    assert (same & pasted).sum() > 10  # a building of the next pair, on the ground of both dates
    assert (same & ~pasted).sum() > 10  # the next pair shows its later date twice as well
