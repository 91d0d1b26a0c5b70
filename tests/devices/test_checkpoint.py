import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from noise2map_jax.devices import sharding
from noise2map_jax.devices.checkpoint import Checkpoints, abstract_like
from noise2map_jax.errors import UserError
from noise2map_jax.steps.train_state import create_train_state


def a_state(scale=1.0, width=3, use_ema=True):
    params = {"unet": {"kernel": jnp.arange(2.0 * width).reshape(2, width) * scale}}
    return create_train_state(params, optax.adam(1e-3), use_ema=use_ema)


def abstract(tree):
    return abstract_like(tree, sharding.replicated(sharding.create_mesh()))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def test_the_newest_state_comes_back_bit_for_bit(folder):
    checkpoints = Checkpoints(folder)
    for step in (10, 20):
        checkpoints.save_latest(step, a_state(scale=step).replace(step=jnp.int32(step)))
    checkpoints.close()

    again = Checkpoints(folder)
    assert again.latest_step() == 20
    state = again.restore_latest(abstract(a_state()))
    jax.tree.map(
        np.testing.assert_array_equal, state, a_state(scale=20).replace(step=jnp.int32(20))
    )
    assert len(state.params["unet"]["kernel"].sharding.device_set) == 8
    again.close()


@pytest.mark.parametrize("damage", ["lost", "cut", "zeroed"])
def test_a_damaged_checkpoint_is_named(folder, damage):
    checkpoints = Checkpoints(folder)
    checkpoints.save_latest(10, a_state())
    checkpoints.close()
    file = folder / "latest/10/default/_METADATA"
    content = file.read_bytes()
    file.unlink()
    if damage != "lost":
        cut = content[: len(content) // 2]
        file.write_bytes(cut if damage == "cut" else bytes(len(content)))
    again = Checkpoints(folder)
    with pytest.raises(UserError, match=r"/latest/10 is damaged \(.*\); put a copy there, or"):
        again.restore_latest(abstract(a_state()))
    again.close()


@pytest.mark.parametrize("use_ema", [True, False])
def test_a_state_of_a_version_without_a_later_part_comes_back(folder, use_ema):
    saved = a_state(scale=3, use_ema=use_ema)
    checkpoints = Checkpoints(folder)
    earlier = ("step", "params", "opt_state", "ema_params")
    checkpoints.save_latest(10, {name: getattr(saved, name) for name in earlier})
    checkpoints.close()
    again = Checkpoints(folder)
    state = again.restore_latest(abstract(a_state(use_ema=use_ema)))
    assert jax.tree.structure(state) == jax.tree.structure(saved)
    jax.tree.map(np.testing.assert_array_equal, state, saved)
    # One that should hold such a part, and does not, is refused.
    tx = optax.adam(1e-3)
    other = create_train_state(saved.params, tx, use_ema=use_ema, keep_initial=True)
    with pytest.raises(UserError, match=r"lacks initial/params/unet/kernel \(2, 3\)"):
        again.restore_latest(abstract(other))
    again.close()


def test_the_best_is_kept_whatever_comes_later(folder):
    checkpoints = Checkpoints(folder)
    assert checkpoints.best_score() == float("-inf")
    for step, score in ((1, 0.5), (2, 0.7), (3, 0.6)):
        checkpoints.save_best(step, a_state(scale=step).params, score)
    checkpoints.close()

    again = Checkpoints(folder)
    assert (again.best_step(), again.best_score()) == (2, 0.7)
    best = again.restore_best(abstract(a_state().params))
    jax.tree.map(np.testing.assert_array_equal, best, a_state(scale=2).params)
    again.close()


def test_saving_a_step_again_is_no_error(folder):
    checkpoints = Checkpoints(folder)
    for _ in range(2):
        checkpoints.save_latest(5, a_state())
        checkpoints.save_best(5, a_state().params, 0.5)
    checkpoints.close()


def test_a_half_written_checkpoint_is_not_seen(folder):
    checkpoints = Checkpoints(folder)
    checkpoints.save_latest(10, a_state())
    checkpoints.close()
    # What a kill in the middle of saving leaves behind: a folder that was not yet renamed.
    (folder / "latest" / "20.orbax-checkpoint-tmp" / "default").mkdir(parents=True)
    again = Checkpoints(folder)
    assert again.latest_step() == 10
    again.restore_latest(abstract(a_state()))
    again.close()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (a_state(width=5), r"params/unet/kernel.*\(2, 3\).*\(2, 5\)"),
        (a_state(use_ema=False), "ema_params/unet/kernel"),
        (a_state().replace(params={"other": jnp.ones(3)}), "params/(other|unet/kernel)"),
    ],
)
def test_another_architecture_is_refused_with_the_tensor_named(folder, other, words):
    checkpoints = Checkpoints(folder)
    checkpoints.save_latest(1, a_state())
    checkpoints.wait()
    with pytest.raises(UserError, match=words) as error:
        checkpoints.restore_latest(abstract(other))
    assert "another architecture" in str(error.value)
    assert "\n" not in str(error.value)
    checkpoints.close()


def test_nothing_saved_is_said(folder):
    checkpoints = Checkpoints(folder)
    assert checkpoints.latest_step() is None
    with pytest.raises(UserError, match="no checkpoint"):
        checkpoints.restore_best(abstract(a_state().params))
    checkpoints.close()
