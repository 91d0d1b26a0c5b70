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


def test_a_ramp_of_positions_stays_a_ramp():
    """Away from the edges, where weights are cut off."""
    ramp = jnp.broadcast_to(jnp.arange(8.0).reshape(1, 8, 1), (1, 8, 8)).reshape(1, 64, 1)
    positions = jnp.concatenate([jnp.full((1, 1, 1), 9.0), ramp], axis=1)
    ours = resampled_positions(positions, (8, 8), (16, 8))
    rows = ours[0, 1:, 0].reshape(16, 8)[:, 3]
    np.testing.assert_allclose(rows[4:-4], np.arange(16)[4:-4] / 2 - 0.25, atol=1e-5)
    assert ours[0, 0, 0] == 9
