import jax
import jax.numpy as jnp
import numpy as np
import pytest

from noise2map_jax import augment
from noise2map_jax.errors import UserError


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
    np.testing.assert_array_equal(found[1], image[::-1])
    np.testing.assert_array_equal(found[2], image[:, ::-1])
    np.testing.assert_array_equal(found[4], image.T)


def test_each_symmetry_comes_as_often_as_the_others():
    corners = jnp.broadcast_to(jnp.array([[0, 1], [2, 3]])[None, :, :, None], (4000, 2, 2, 1))
    out = augment.augment_geometry(augment.Augmentation(), jax.random.key(2), {"image": corners})
    _, counts = np.unique(out["image"].reshape(4000, 4), axis=0, return_counts=True)
    assert len(counts) == 8
    np.testing.assert_allclose(counts, np.full(8, 500), atol=100)  # 4.8 standard deviations


def test_image_and_mask_move_together():
    options = augment.Augmentation(crop_size=5)
    out = augment.augment_geometry(options, jax.random.key(1), a_batch())
    assert out["image"].shape == (64, 5, 5, 3)
    assert out["image"].dtype == out["mask"].dtype == jnp.uint8
    np.testing.assert_array_equal(out["image"][..., :1], out["mask"])
    assert len({np.asarray(m).tobytes() for m in out["mask"]}) == 64


def test_crops_reach_every_corner_and_nothing_else():
    places = np.stack(np.meshgrid(np.arange(8), np.arange(8), indexing="ij"), axis=-1)  # [8, 8, 2]
    batch = {"image": jnp.broadcast_to(jnp.asarray(places, jnp.uint8), (900, 8, 8, 2))}
    options = augment.Augmentation(flips_and_turns=False, crop_size=6)
    out = np.asarray(augment.augment_geometry(options, jax.random.key(0), batch)["image"], int)
    corners, counts = np.unique(out[:, 0, 0], axis=0, return_counts=True)
    assert corners.tolist() == [[row, column] for row in range(3) for column in range(3)]
    np.testing.assert_allclose(counts, np.full(9, 100), atol=50)  # 5 standard deviations
    moved = places[:6, :6] + out[:, :1, :1]
    np.testing.assert_array_equal(out, moved)


def test_a_crop_may_be_as_large_as_the_tile():
    options = augment.Augmentation(flips_and_turns=False, crop_size=8)
    out = augment.augment_geometry(options, jax.random.key(0), a_batch())
    np.testing.assert_array_equal(out["image"], a_batch()["image"])


def test_crops_worked_by_hand():
    images = jnp.arange(2 * 4 * 5).reshape(2, 4, 5, 1)
    found = augment.crop(images, jnp.array([[1, 2], [0, 3]]), 2)[..., 0]
    np.testing.assert_array_equal(found, [[[7, 8], [12, 13]], [[23, 24], [28, 29]]])


def test_nothing_asked_for_changes_nothing():
    batch = a_batch()
    options = augment.Augmentation(flips_and_turns=False)
    out = augment.augment_geometry(options, jax.random.key(1), batch)
    np.testing.assert_array_equal(out["image"], batch["image"])
    images = batch["image"].astype(jnp.float32) / 127.5 - 1
    out = augment.jitter(options, jax.random.key(0), images, everywhere(images))
    np.testing.assert_array_equal(out, images)


def test_unless_asked_for_dates_stay_and_images_keep_their_light():
    batch = {"pre": jnp.zeros((20, 2, 2, 3)), "post": jnp.full((20, 2, 2, 3), 0.5)}
    out = augment.augment_geometry(augment.Augmentation(), jax.random.key(0), batch)
    np.testing.assert_array_equal(out["pre"], batch["pre"])
    np.testing.assert_array_equal(out["post"], batch["post"])
    light = augment.jitter(
        augment.Augmentation(), jax.random.key(0), batch["post"], everywhere(batch["post"])
    )
    np.testing.assert_array_equal(light, batch["post"])


def test_a_single_image_has_no_dates_to_exchange():
    options = augment.Augmentation(flips_and_turns=False, exchange_dates=True)
    out = augment.augment_geometry(options, jax.random.key(0), a_batch())
    np.testing.assert_array_equal(out["image"], a_batch()["image"])


def test_dates_are_exchanged_for_about_half_of_the_pairs():
    batch = {"pre": jnp.zeros((400, 2, 2, 3)), "post": jnp.ones((400, 2, 2, 3))}
    batch["mask"] = jnp.arange(1600).reshape(400, 2, 2, 1)
    options = augment.Augmentation(flips_and_turns=False, exchange_dates=True)
    out = augment.augment_geometry(options, jax.random.key(0), batch)
    np.testing.assert_array_equal(out["mask"], batch["mask"])
    np.testing.assert_array_equal(
        out["pre"], jnp.broadcast_to(out["pre"][:, :1, :1, :1], (400, 2, 2, 3))
    )
    np.testing.assert_array_equal(out["pre"] + out["post"], np.ones((400, 2, 2, 3)))
    assert 150 < float(out["pre"][:, 0, 0, 0].sum()) < 250


def everywhere(images):
    return jnp.ones((*images.shape[:3], 1), bool)


def test_padding_does_not_bear_on_the_light_of_an_image():
    options = augment.Augmentation(brightness=0.1, contrast=0.3)
    images = jax.random.uniform(jax.random.key(1), (20, 8, 8, 3), minval=-0.4, maxval=0.4)
    valid = everywhere(images).at[:, 5:].set(False).at[:, :, 6:].set(False)
    inside = np.asarray(valid)[..., 0]
    light = [
        np.asarray(
            augment.jitter(options, jax.random.key(2), jnp.where(valid, images, fill), valid)
        )[inside]
        for fill in (-1.0, 1.0)
    ]
    np.testing.assert_array_equal(*light)
    none = jnp.zeros_like(valid)
    out = augment.jitter(options, jax.random.key(2), images, none)  # nothing to divide by
    assert np.isfinite(out).all()


def test_jitter_stays_within_what_was_asked_for():
    options = augment.Augmentation(brightness=0.2, contrast=0.5)
    images = jnp.tile(jnp.array([-0.5, 0.5])[None, :, None, None], (200, 4, 8, 3))
    out = np.asarray(augment.jitter(options, jax.random.key(0), images, everywhere(images)))
    shift, gain = out.mean(axis=(1, 2, 3)), out.std(axis=(1, 2, 3)) / 0.5
    assert np.abs(shift).max() <= 0.2 + 1e-6
    assert shift.min() < -0.15
    assert shift.max() > 0.15
    assert gain.min() >= 0.5 - 1e-5
    assert gain.max() <= 1.5 + 1e-5
    assert gain.min() < 0.6
    assert gain.max() > 1.4


def test_contrast_keeps_the_mean_of_each_band_and_brightness_all_differences():
    images = jax.random.uniform(jax.random.key(1), (50, 4, 6, 3), minval=-0.5, maxval=0.5)
    means = images.mean(axis=(1, 2), keepdims=True)
    options = augment.Augmentation(contrast=0.5)
    out = augment.jitter(options, jax.random.key(0), images, everywhere(images))
    np.testing.assert_allclose(out.mean(axis=(1, 2), keepdims=True), means, atol=1e-6)
    gain = ((out - means) / (images - means))[:, :1, :1, :1]
    np.testing.assert_allclose(out, means + gain * (images - means), atol=1e-6)
    assert len(np.unique(np.asarray(gain).round(5))) > 40  # each image by itself
    options = augment.Augmentation(brightness=0.2)
    out = np.asarray(augment.jitter(options, jax.random.key(0), images, everywhere(images)))
    shift = (out - images)[:, :1, :1, :1]
    np.testing.assert_allclose(out, images + shift, atol=1e-6)
    assert len(np.unique(shift.round(5))) > 40  # each image by itself


def test_jittered_images_stay_in_the_range_of_the_network():
    options = augment.Augmentation(brightness=0.5)
    images = jnp.tile(jnp.array([-0.9, 0.9])[None, :, None, None], (100, 2, 1, 1))
    out = np.asarray(augment.jitter(options, jax.random.key(0), images, everywhere(images)))
    assert (out.min(), out.max()) == (-1, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"crop_size": -1}, "-1"), ({"contrast": 1.0}, "1.0"), ({"brightness": -0.1}, "-0.1")],
)
def test_impossible_options_are_refused(options, words):
    with pytest.raises(UserError, match=words):
        augment.Augmentation(**options)


def test_a_crop_larger_than_the_tile_is_refused():
    with pytest.raises(UserError, match=r"crop_size is 9.*8 x 8"):
        augment.augment_geometry(augment.Augmentation(crop_size=9), jax.random.key(0), a_batch())


def test_the_middle_is_cut_out():
    images = jnp.arange(5 * 8).reshape(1, 5, 8, 1)
    # Of 5 rows the second and third, of 8 columns the fourth and fifth.
    np.testing.assert_array_equal(augment.centre_crop(images, 2)[0, :, :, 0], [[11, 12], [19, 20]])
    assert augment.centre_crop(images, 0) is images
