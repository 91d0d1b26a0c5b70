import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import jaxprs_in_params
from jax.sharding import NamedSharding
from problems import drawn_params, initial_params, tiny_batch, tiny_problem, tiny_process
from programs import needs_libtpu

from configs import demo_ss
from noise2map_jax.cost.abstract_step import create_abstract_step
from noise2map_jax.cost.collectives import collectives
from noise2map_jax.cost.program_text import parse
from noise2map_jax.cost.topologies import topology_devices
from noise2map_jax.devices import sharding
from noise2map_jax.method.losses import WeightedSum
from noise2map_jax.network.interface import compute_types
from noise2map_jax.steps.data_parallel import data_parallel
from noise2map_jax.steps.train_state import create_train_state
from noise2map_jax.steps.train_step import gradient_sums, network_inputs, train_step

EXCHANGES = {"all_gather", "reduce_scatter", "psum", "psum_invariant", "all_to_all", "ppermute"}

PLAIN = {"backbone_learning_rate_factor": 1.0, "num_microbatches": 1, "unroll": False}


@pytest.fixture(autouse=True)
def kernels_are_large(monkeypatch):
    """Take arrays for large that are, in the tiny network: its kernels, no scale and no bias."""
    monkeypatch.setattr(sharding, "LEAST_SHARDED", 64)


def inputs_of(problem, batch):
    return network_inputs(batch, tiny_process(), jax.random.key(1), problem=problem)


def ignored(batch, rows):
    """Let some rows of a batch count nothing."""
    mask = batch["mask"].copy()
    mask[rows] = 255
    return batch | {"mask": mask}


@functools.cache
def jitted_sums(dtype, fsdp, num_microbatches):
    """The mesh of `sums`, and the function that it calls: each is compiled once."""
    problems = {"ss": tiny_problem(dtype=dtype)}
    gradients = functools.partial(
        gradient_sums, problems=problems, **PLAIN | {"num_microbatches": num_microbatches}
    )
    mesh = sharding.create_mesh(fsdp or 1, jax.devices()[: 8 if fsdp else 1])
    if fsdp:
        gradients = data_parallel(gradients, mesh, dtype)
    return mesh, jax.jit(gradients)


def sums(problem, params, batch, fsdp=0, num_microbatches=1):
    """Losses and gradients over eight devices, or on one."""
    mesh, gradients = jitted_sums(problem.model.dtype, fsdp, num_microbatches)
    shards = sharding.move(
        sharding.replicate(params, mesh), sharding.parameter_sharding(params, mesh)
    )
    inputs = inputs_of(problem, batch)
    inputs = jax.device_put(jax.tree.map(np.asarray, inputs), sharding.batch_sharding(mesh))
    process = sharding.replicate(tiny_process(), mesh)
    loss, gradient, _ = gradients(shards, {"ss": inputs}, {"ss": process})["ss"]
    return loss, gradient


@pytest.mark.parametrize("fsdp", [1, 4, 8])
@pytest.mark.parametrize("num_microbatches", [1, 2])
def test_sums_over_devices_are_those_of_the_whole_batch(fsdp, num_microbatches):
    problem = tiny_problem()
    params = drawn_params(problem.model)
    # A device whose rows are all ignored, and one with fewer pixels that count than the others.
    batch = ignored(tiny_batch(num=16), [4, 5, 9])
    whole, gradient = sums(problem, params, batch)
    loss, found = sums(problem, params, batch, fsdp, num_microbatches=num_microbatches)
    np.testing.assert_allclose(loss, whole, rtol=1e-5)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(gradient), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * largest)


def test_kernels_and_gradients_rounded_for_the_exchange_are_as_good_as_those_of_one_device():
    # CPUs add up in float32: what is lost where a device adds in bfloat16 is not seen here.
    problem, batch = tiny_problem(), tiny_batch(num=16)
    params = initial_params(problem.model)
    _, exact = sums(problem, params, batch)
    coarse = tiny_problem(dtype=jnp.bfloat16)

    def error(fsdp, **options):
        _, found = sums(coarse, params, batch, fsdp, **options)
        off = jax.tree.map(lambda a, b: np.asarray(a, np.float32) - np.asarray(b), found, exact)
        return float(optax.tree.norm(off) / optax.tree.norm(exact))

    alone = error(0)
    assert 1e-4 < alone < 0.05
    assert error(8) < 1.2 * alone
    assert error(8, num_microbatches=2) < 1.2 * alone


def exchanged(jaxpr):
    """Yield kind, shape and type of what devices exchange."""
    for equation in jaxpr.eqns:
        if equation.primitive.name in EXCHANGES:
            for variable in equation.invars:
                yield equation.primitive.name, variable.aval.shape, variable.aval.dtype.name
        for inner in jaxprs_in_params(equation.params):
            yield from exchanged(inner)


@pytest.mark.parametrize("num_microbatches", [1, 2])
@pytest.mark.parametrize("tasks", [("ss",), ("ss", "cd")])
def test_parameters_are_gathered_once_and_gradients_summed_once(tasks, num_microbatches):
    problems = {
        task: tiny_problem(task, dtype=jnp.bfloat16, heads=("ss", "cd")[: len(tasks)])
        for task in tasks
    }
    mesh, tx = sharding.create_mesh(4), optax.sgd(0.1)
    params = drawn_params(problems["ss"].model)
    step = functools.partial(
        train_step,
        problems=problems,
        tx=tx,
        num_microbatches=num_microbatches,
        spread=functools.partial(data_parallel, mesh=mesh, dtype=jnp.bfloat16),
    )
    state = create_train_state(params, tx, use_ema=False)
    batches = {task: tiny_batch(task, num=16) for task in tasks}
    processes = {task: tiny_process(task) for task in tasks}
    jaxpr = jax.make_jaxpr(step)(state, batches, processes, jax.random.key(0))
    found = list(exchanged(jaxpr.jaxpr))
    of_kind = {kind: [x[1:] for x in found if x[0] == kind] for kind in {x[0] for x in found}}

    leaves = jax.tree.leaves(params)
    split = [leaf for leaf in leaves if sharding.parameter_spec(leaf.shape, 4)]
    assert len(split) > 20
    gathered = of_kind["all_gather"]
    assert len(gathered) == len(split)  # however many tasks and micro-batches
    assert {dtype for _, dtype in gathered} == {"bfloat16"}
    scattered = of_kind["reduce_scatter"]
    assert len(scattered) == len(split) * len(tasks)
    # Sums over micro-batches have more digits than bfloat16 can hold.
    assert {dtype for _, dtype in scattered} == {"bfloat16" if num_microbatches == 1 else "float32"}
    # What else is exchanged: losses, what is not split, and the parts over the other axis.
    assert set(of_kind) == {"all_gather", "reduce_scatter", next(k for k in of_kind if "psum" in k)}
    (added,) = (of_kind[kind] for kind in of_kind if "psum" in kind)
    whole = {(leaf.shape, "float32") for leaf in leaves if leaf.size < sharding.LEAST_SHARDED}
    assert whole | {((), "float32")} <= set(added)
    assert len(added) == (len(leaves) + 2) * len(tasks)


def compiled(fsdp, **options):
    problem = tiny_problem()
    gradients = functools.partial(gradient_sums, problems={"ss": problem}, **PLAIN | options)
    mesh = sharding.create_mesh(fsdp)
    gradients = data_parallel(gradients, mesh, jnp.float32)
    params = drawn_params(problem.model)
    placed = jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
        params,
        sharding.parameter_sharding(params, mesh),
    )
    inputs = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding.batch_sharding(mesh)),
        jax.eval_shape(functools.partial(inputs_of, problem), tiny_batch(num=16)),
    )
    arguments = placed, {"ss": inputs}, {"ss": tiny_process()}
    return params, jax.jit(gradients).lower(*arguments).compile().as_text()


def test_no_activation_is_sent():
    params, text = compiled(fsdp=8)
    found = list(collectives(parse(text)))
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    # Gathered once, and summed once.
    assert 1.5 * size < sum(c.sent for c in found) < 2.2 * size
    assert {c.kind for c in found} <= {"all-gather", "reduce-scatter", "all-reduce"}


@needs_libtpu
@pytest.mark.usefixtures("effort")
def test_chips_that_share_a_kernel_do_not_share_its_convolution():
    mesh = sharding.create_mesh(16, topology_devices("v5e:4x4"))
    split = NamedSharding(mesh, sharding.parameter_spec((3, 3, 512, 512), 16))
    kernel = jax.ShapeDtypeStruct((3, 3, 512, 512), jnp.float32, sharding=split)
    rows = sharding.batch_sharding(mesh)
    images = jax.ShapeDtypeStruct((128, 128, 128, 512), jnp.bfloat16, sharding=rows)

    def total(params, x):
        dimensions = ("NHWC", "HWIO", "NHWC")
        kernel = params["unet"].astype(x.dtype)
        y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=dimensions)
        return jnp.sum(jnp.square(jax.nn.silu(y).astype(jnp.float32)))

    def gradients(params, inputs, processes, axes=()):
        value, gradient = jax.value_and_grad(total)(params, inputs["ss"])
        return {"ss": (WeightedSum(value, jnp.float32(1)), gradient, None)}

    def left_to_the_compiler(params, inputs, processes):
        whole = jax.lax.with_sharding_constraint(params, sharding.replicated(mesh))
        value, gradient, _ = gradients(whole, inputs, processes)["ss"]
        return {"ss": (value, jax.lax.with_sharding_constraint(gradient, {"unet": split}))}

    def loops(gradients):
        text = jax.jit(gradients).lower({"unet": kernel}, {"ss": images}, {}).compile().as_text()
        instructions = parse(text).computations.values()
        return sum(i.kind == "while" for each in instructions for i in each.values())

    assert loops(data_parallel(gradients, mesh, jnp.bfloat16)) == 0
    assert loops(left_to_the_compiler) > 0


def step_of(fsdp, channels=(32, 32), **options):
    config = demo_ss.get_config()
    config.model.unet.block_out_channels, config.model.unet.layers_per_block = channels, 1
    config.model.dtype, config.train.batch_size = "bfloat16", 8
    config.train.update(options)
    return create_abstract_step(config, sharding.create_mesh(fsdp))


def test_the_step_of_a_config_exchanges_in_its_type():
    step = step_of(4)
    found = list(exchanged(jax.make_jaxpr(step.step)(*step.arguments).jaxpr))
    gathered = [dtype for kind, _, dtype in found if kind == "all_gather"]
    scattered = [dtype for kind, _, dtype in found if kind == "reduce_scatter"]
    assert len(gathered) == len(scattered) > 20
    # All but the kernel of the last convolution.
    assert sorted(gathered) == sorted(scattered) == ["bfloat16"] * (len(gathered) - 1) + ["float32"]


def test_the_step_of_a_config_exchanges_nothing_of_a_frozen_backbone():
    sent = []
    for factor in (0.0, 1.0):
        step = step_of(1, (16,), backbone_learning_rate_factor=factor)
        text = step.step.lower(*step.arguments).compile().as_text()
        sent.append(sum(c.sent for c in collectives(parse(text))))
    assert 0 < sent[0] < 0.2 * sent[1]


def test_the_last_convolution_stays_in_float32_however_large_it_is():
    types = compute_types(drawn_params(tiny_problem().model), jnp.bfloat16)
    assert set(jax.tree.leaves(types["ss_output_conv"])) == {jnp.float32}
    assert set(jax.tree.leaves(types["unet"])) == {jnp.bfloat16}


def test_rates_and_step_sizes_of_scans_stay_in_float32():
    scan = {"A_logs": np.zeros((4, 16)), "dt_projs_bias": np.zeros((4, 4)), "Ds": np.zeros(4)}
    scan["in_proj"] = {"kernel": np.zeros((4, 4))}
    types = compute_types({"vssm_encoder": {"self_attention": scan}}, jnp.bfloat16)
    found = types["vssm_encoder"]["self_attention"]
    assert found.pop("in_proj") == {"kernel": jnp.bfloat16}
    assert set(found.values()) == {jnp.float32}
