"""Gradients over all devices: each computes that of its own rows, and they exchange once a step.

What is exchanged is written out, not left to the compiler: left to itself, XLA's partitioner
splits the convolutions that give the gradients of split kernels as well, and sends activations
around for them (benchmarks/NOTES.md).
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from noise2map_jax.noise import NoiseProcess
from noise2map_jax.sharding import AXES, is_large, parameter_spec
from noise2map_jax.step import Gradients, Inputs


def data_parallel(gradients: Gradients, mesh: Mesh, dtype: Any = jnp.float32) -> Gradients:
    """Spread the computation of gradients over the devices of a mesh.

    Parameters that are split over the axis `fsdp` are gathered once, and of their gradients every
    device keeps the part that it holds (Rajbhandari et al. 2020, ZeRO; Xu et al. 2020).

    Args:
        gradients: `step.gradient_sums`, of a device's own rows.
        mesh: the devices.
        dtype: in which the network computes. Large parameters, which it takes in this type, are
            exchanged in it, and so are their gradients, unless they are sums over micro-batches.

    Returns:
        The same of global arrays, to be called within a jitted function.
    """

    def spread(
        params: Any, inputs: Mapping[str, Inputs], processes: Mapping[str, NoiseProcess]
    ) -> Any:
        params = jax.tree.map(lambda x: x.astype(dtype) if is_large(x.shape) else x, params)
        specs = jax.tree.map(lambda x: parameter_spec(x.shape, mesh.shape["fsdp"]), params)
        rows, everywhere = PartitionSpec(AXES), PartitionSpec()

        def of_own_rows(
            params: Any, inputs: Mapping[str, Inputs], processes: Mapping[str, NoiseProcess]
        ) -> Any:
            whole = jax.tree.map(_gather, params, specs)
            return {
                name: (jax.lax.psum(loss, AXES), jax.tree.map(_sum, gradient, specs))
                for name, (loss, gradient) in gradients(whole, inputs, processes).items()
            }

        return jax.shard_map(
            of_own_rows,
            mesh=mesh,
            in_specs=(specs, rows, everywhere),
            out_specs=dict.fromkeys(inputs, (everywhere, specs)),
            check_vma=False,  # convolutions with gradients of their own do not declare theirs
        )(params, inputs, processes)

    return spread


def _gather(held: jax.Array, spec: PartitionSpec) -> jax.Array:
    if "fsdp" not in spec:
        return held
    return jax.lax.all_gather(held, "fsdp", axis=spec.index("fsdp"), tiled=True)


def _sum(part: jax.Array, spec: PartitionSpec) -> jax.Array:
    if "fsdp" not in spec:
        return jax.lax.psum(part, AXES)
    held = jax.lax.psum_scatter(part, "fsdp", scatter_dimension=spec.index("fsdp"), tiled=True)
    return jax.lax.psum(held, "data")
