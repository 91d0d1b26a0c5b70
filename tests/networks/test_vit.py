import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_networks import count

from noise2map_jax.networks.vit import VITS, ViT, resampled_positions


def test_parameters():
    """Of timm's, without the last norm and the classifier."""
    assert count(VITS["vit_small_patch16_224"]) == 22_050_664 - 385_000 - 768
    assert count(VITS["vit_base_patch16_224"]) == 86_567_656 - 769_000 - 1536


def test_default_features_are_evenly_spaced():
    assert ViT().feature_blocks == (2, 5, 8, 11)
    assert ViT(depth=4, output_indices=(1, 3)).feature_blocks == (1, 3)


def test_learned_positions_are_used_as_they_are():
    positions = jax.random.normal(jax.random.key(0), (1, 1 + 6, 4))
    assert resampled_positions(positions, (2, 3), (2, 3)) is positions


@pytest.mark.parametrize("grid", [(8, 12), (3, 2), (5, 5)])
def test_positions_of_other_sizes(grid):
    """As timm resamples them: bicubic, smoothed; the class token's stays."""
    torch = pytest.importorskip("torch", reason="needs torch (the extra 'parity')")
    positions = np.random.default_rng(0).normal(size=(1, 1 + 5 * 4, 3)).astype(np.float32)
    ours = resampled_positions(jnp.asarray(positions), (5, 4), grid)
    patches = torch.tensor(positions[:, 1:].reshape(1, 5, 4, 3).transpose(0, 3, 1, 2))
    options = {"mode": "bicubic", "antialias": True, "align_corners": False}
    expected = torch.nn.functional.interpolate(patches, size=grid, **options).numpy()
    expected = expected.transpose(0, 2, 3, 1).reshape(1, -1, 3)
    np.testing.assert_allclose(ours[:, 1:], expected, atol=1e-5)
    np.testing.assert_array_equal(ours[:, 0], positions[:, 0])


@pytest.mark.parametrize(
    "expected",
    [
        [-0.0793271, 0.1875106, 0.8625708, 2.6875, 4.001636, 2.7186484, 1.841346],
        [0.8636364, 2.8719008],
    ],
    ids=["more", "fewer"],
)
def test_positions_as_torch_resamples_them(expected):
    """Rows 0, 1, 4, 2 by `interpolate(..., mode="bicubic", antialias=True)` of torch 2.13."""
    rows = jnp.broadcast_to(jnp.array([0.0, 1.0, 4.0, 2.0]).reshape(1, 4, 1), (1, 4, 3))
    positions = jnp.concatenate([jnp.full((1, 1), 9.0), rows.reshape(1, 12)], axis=1)
    ours = resampled_positions(positions.reshape(1, 13, 1), (4, 3), (len(expected), 3))
    np.testing.assert_allclose(ours[0, 2::3, 0], expected, atol=1e-5)
    assert ours[0, 0, 0] == 9
