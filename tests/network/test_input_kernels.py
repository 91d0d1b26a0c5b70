import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noise2map_jax.network.input_kernels import ADAPTATIONS, average, fit_inputs, inflate


@settings(deadline=None, max_examples=20)
@given(bands=st.integers(1, 6), wanted=st.integers(1, 9), seed=st.integers(0, 99))
def test_fitted_kernels_see_grey_images_as_before(bands, wanted, seed):
    """Where all bands are alike, a kernel fitted to other bands gives what it gave."""
    kernel = np.random.default_rng(seed).normal(size=(3, 3, bands, 4)).astype(np.float32)
    fitted = average(kernel, wanted)
    assert fitted.shape == (3, 3, wanted, 4)
    np.testing.assert_allclose(fitted.sum(axis=2), kernel.sum(axis=2), atol=1e-5)
    if wanted % bands == 0:
        np.testing.assert_allclose(
            inflate(kernel, wanted).sum(axis=2), kernel.sum(axis=2), atol=1e-5
        )


@pytest.mark.parametrize("how", list(ADAPTATIONS))
def test_the_dates_of_a_pair_stay_apart(how):
    pre, post = np.random.default_rng(0).normal(size=(2, 3, 3, 3, 4)).astype(np.float32)
    fitted = fit_inputs(np.concatenate([pre, post], axis=2), 8, how, num_dates=2)
    np.testing.assert_allclose(fitted[:, :, :4], ADAPTATIONS[how](pre, 4), rtol=1e-6)
    np.testing.assert_allclose(fitted[:, :, 4:], ADAPTATIONS[how](post, 4), rtol=1e-6)


def test_the_same_bands_are_left_as_they_are():
    kernel = np.random.default_rng(0).normal(size=(3, 3, 6, 4)).astype(np.float32)
    np.testing.assert_array_equal(fit_inputs(kernel, 6, "inflate", num_dates=2), kernel)
