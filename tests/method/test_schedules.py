import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from programs import FUSED

from noise2map_jax.errors import UserError
from noise2map_jax.method import schedules

GOLDEN = {
    "linear": "linear",
    "scaled_linear": "scaled_linear",
    "squaredcos_cap_v2": "squaredcos_cap_v2",
    "sigmoid": "sigmoid",
    "zero_terminal_snr": "ddim_zero_snr",
}


@pytest.mark.parametrize("steps", [100, 1000])
@pytest.mark.parametrize("name", GOLDEN)
def test_alphas_cumprod_equal_golden_values(golden, name, steps):
    expected = golden["schedules"][f"{GOLDEN[name]}_{steps}_alphas_cumprod"]
    table = schedules.create(name, steps, {})
    np.testing.assert_allclose(table, expected, rtol=0, atol=1e-6)


def test_linear_is_the_default_of_ddim(golden):
    expected = golden["schedules"]["ddim_default_1000_alphas_cumprod"]
    np.testing.assert_allclose(schedules.linear(1000), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("steps", [100, 1000])
def test_sigmas_equal_golden_values(golden, steps):
    expected = golden["schedules"][f"euler_linear_{steps}_sigmas"][:-1][::-1]  # theirs fall to 0
    found = schedules.sigmas(schedules.linear(steps))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_karras_sigmas_equal_golden_values(golden):
    expected = golden["schedules"]["euler_karras_50_sigmas"][:-1][::-1]
    # Compiled as programs are: the quick compilation of these tests has a coarser power function.
    sigmas = jax.jit(
        lambda low, high: schedules.karras_sigmas(50, sigma_min=low, sigma_max=high),
        compiler_options=FUSED | {"xla_backend_optimization_level": 3},
    )
    np.testing.assert_allclose(sigmas(expected[0], expected[-1]), expected, rtol=1e-6)


def test_karras_sigmas_run_over_the_range_of_the_paper():
    # sigma_min = 0.002, sigma_max = 80, rho = 7 (Karras et al. 2022, table 1). In the middle of
    # three: the mean of the seventh roots, to the power of 7.
    middle = ((0.002 ** (1 / 7) + 80.0 ** (1 / 7)) / 2) ** 7
    np.testing.assert_allclose(schedules.karras_sigmas(3), [0.002, middle, 80.0], rtol=1e-4)
    variances = 1 + np.square([0.002, middle, 80.0])
    np.testing.assert_allclose(schedules.karras(3), 1 / variances, rtol=2e-4)


def test_the_cosine_schedule_caps_its_last_beta():
    # At t = T the cosine is 0, so that the last beta would be 1.
    table = schedules.squaredcos_cap_v2(50)
    np.testing.assert_allclose(table[-1] / table[-2], 1 - 0.999, rtol=1e-4)


@pytest.mark.parametrize("num", [10, 1000])
def test_products_are_rounded_once(num):
    betas = np.linspace(1e-4, 0.02, num, dtype=np.float32)
    expected = np.cumprod((1 - betas).astype(np.float64)).astype(np.float32)
    found = schedules._alphas_cumprod(jnp.asarray(betas))
    np.testing.assert_array_equal(found, expected)


def test_karras_table_is_variance_preserving():
    sigmas = schedules.karras_sigmas(40)
    table = schedules.karras(40)
    np.testing.assert_allclose(schedules.sigmas(table)[5:], sigmas[5:], rtol=1e-4)
    np.testing.assert_allclose(jnp.sqrt(table), 1 / jnp.sqrt(1 + sigmas**2), rtol=1e-6)


def test_zero_terminal_snr_ends_with_no_signal_and_keeps_its_start():
    table = schedules.zero_terminal_snr(1000)
    assert table[-1] == 0
    np.testing.assert_allclose(table[0], schedules.linear(1000)[0], rtol=1e-6)


@pytest.mark.parametrize("name", schedules.SCHEDULES)
@settings(deadline=None, max_examples=20)
@given(steps=st.sampled_from([2, 3, 100]), end=st.floats(2e-4, 0.5), rho=st.floats(1, 12))
def test_every_table_falls_from_almost_one_within_bounds(name, steps, end, rho):
    table = np.asarray(schedules.create(name, steps, {"beta_end": end, "rho": rho}))
    assert table.shape == (steps,)
    assert table.dtype == np.float32
    assert np.all((table >= 0) & (table <= 1))
    assert np.all(np.diff(table) <= 0)
    assert table[0] > table[-1]


def test_a_grid_of_schedules_is_one_vmap():
    ends = jnp.array([0.005, 0.01, 0.02])
    stacked = jax.vmap(lambda end: schedules.linear(50, beta_end=end))(ends)
    single = [schedules.linear(50, beta_end=float(end)) for end in ends]
    np.testing.assert_allclose(stacked, np.stack(single), rtol=1e-6)
    assert not np.allclose(stacked[0], stacked[1])


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("squaredcos_cap_v2", {"max_beta": jnp.array([0.5, 0.999])}),
        ("karras", {"rho": jnp.array([3.0, 7.0]), "sigma_max": jnp.array([80.0, 20.0])}),
        ("sigmoid", {"beta_end": jnp.array([0.01, 0.02])}),
        ("scaled_linear", {"beta_start": jnp.array([1e-4, 1e-3])}),
        ("zero_terminal_snr", {"beta_end": jnp.array([0.01, 0.02])}),
    ],
)
def test_all_parameters_can_be_traced(name, parameters):
    tables = jax.vmap(lambda p: schedules.create(name, 30, p))(parameters)
    assert tables.shape == (2, 30)
    assert not np.allclose(tables[0], tables[1])


def test_create_takes_only_the_parameters_that_a_schedule_has():
    shared = {"beta_start": 1e-4, "beta_end": 0.02, "max_beta": 0.9, "rho": 5.0}
    np.testing.assert_array_equal(schedules.create("linear", 20, shared), schedules.linear(20))
    np.testing.assert_array_equal(
        schedules.create("squaredcos_cap_v2", 20, shared),
        schedules.squaredcos_cap_v2(20, max_beta=0.9),
    )


@pytest.mark.parametrize(
    ("name", "steps", "parameters", "words"),
    [
        ("lineer", 10, {}, ["'lineer'", "scaled_linear"]),
        ("linear", 1, {}, ["1", "at least 2"]),
        ("linear", 10, {"beta_ende": 1.0}, ["beta_ende", "beta_end"]),
    ],
)
def test_mistakes_are_named(name, steps, parameters, words):
    with pytest.raises(UserError) as error:
        schedules.create(name, steps, parameters)
    assert all(word in str(error.value) for word in words)
