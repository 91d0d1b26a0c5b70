"""DDPM-CD's head over features of a denoiser."""

import golden_networks
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from noise2map_jax.errors import UserError
from noise2map_jax.networks.ddpmcd_head import DDPMCDHead
from noise2map_jax.networks.torch_names import from_torch


def arrays(*scales):
    """Features of one date: for every scale the shapes of its timesteps."""
    return [[jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes] for shapes in scales]


def shapes(head, pre, post=None):
    return jax.eval_shape(head.init, jax.random.key(0), pre, pre if post is None else post)


@pytest.mark.usefixtures("highest_precision")
def test_output_is_that_of_the_published_code():
    golden = golden_networks.Golden("ddpmcd_head")
    scales, timesteps = golden.config["scales"], golden.config["timesteps"]
    assert scales == sorted(scales, reverse=True)  # deep to fine
    pre, post = (
        [[golden[f"{date}_t{t}_scale{scale}"] for t in timesteps] for scale in scales]
        for date in ("pre", "post")
    )
    head = DDPMCDHead(2)
    variables = from_torch(golden.tensors, shapes(head, pre))

    @jax.jit
    def predict(variables):
        def loss(variables):
            y = head.apply(variables, pre, post)
            return jnp.square(y).mean(), y

        return jax.grad(loss, has_aux=True)(variables)

    gradient, y = predict(variables)
    np.testing.assert_allclose(y, golden["y"], rtol=0, atol=1e-4)
    for name, leaves in gradient["params"].items():
        for leaf in jax.tree.leaves(leaves):
            assert np.isfinite(leaf).all()
            assert bool(np.any(leaf)) == (name != "decoder_4")  # the finest scale's is dropped


def test_the_published_head_has_its_number_of_parameters():
    widths = (1024, 1024, 512, 256, 128)
    features = arrays(*([(1, 2**n, 2**n, width)] * 3 for n, width in enumerate(widths)))
    variables = shapes(DDPMCDHead(2), features)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables)) == 46_405_126


def test_one_timestep_needs_no_mixing_and_logits_have_the_finest_size():
    features = arrays([(2, 4, 6, 8)], [(2, 8, 12, 6)], [(2, 16, 24, 4)])
    head = DDPMCDHead(3)
    y, variables = jax.eval_shape(head.init_with_output, jax.random.key(0), features, features)
    assert y.shape == (2, 16, 24, 3)
    assert set(variables["params"]["decoder_2"]) == {"block_2"}
    half = head.clone(dtype=jnp.bfloat16)
    y = jax.eval_shape(half.apply, variables, features, features)
    assert y.dtype == jnp.float32


def test_features_that_do_not_fit_are_refused():
    deep, fine = [(2, 4, 4, 8)], [(2, 8, 8, 4)]
    head = DDPMCDHead(2)
    with pytest.raises(UserError, match="1 scale; expected 2 or more"):
        shapes(head, arrays(deep))
    with pytest.raises(UserError, match="4 x 4 after one of 8 x 8; expected 16 x 16: deep to fine"):
        shapes(head, arrays(fine, deep))
    with pytest.raises(UserError, match="expected equal shapes"):
        shapes(head, arrays(deep, fine), arrays(deep, [(2, 8, 8, 6)]))
