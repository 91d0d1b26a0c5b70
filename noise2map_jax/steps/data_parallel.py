"""Gradients over all devices: each computes those of its own rows, and then they are summed.

Parameters are gathered once a step, and gradients summed once for each task.

What is exchanged is written out, not left to the compiler: left to itself, XLA's partitioner
splits the convolutions that give the gradients of split kernels as well, and sends activations
around for them (benchmarks/NOTES.md).
"""

from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import Mesh, PartitionSpec

from noise2map_jax.devices.sharding import AXES, is_large, parameter_spec
from noise2map_jax.method.noise import NoiseProcess
from noise2map_jax.network.model import compute_types
from noise2map_jax.steps.train_step import Gradients, Inputs


def data_parallel(gradients: Gradients, mesh: Mesh, dtype: Any) -> Gradients:
    """Spread the computation of gradients over the devices of a mesh.

    Parameters that are split over the axis `fsdp` are gathered for the whole of a step, and of
    their gradients every device keeps the part that it holds (Rajbhandari et al. 2020, ZeRO stage
    2 with the parameters at rest split as well; Xu et al. 2020).

    Args:
        gradients: `step.gradient_sums`, of a device's own rows.
        mesh: the devices.
        dtype: of the network. Large parameters are exchanged in the type in which it computes
            with them (`model.compute_types`), and so are their gradients, unless they are sums
            over micro-batches.

    Returns:
        The same of global arrays, to be called within a jitted function.
    """

    def spread(
        params: Any, inputs: Mapping[str, Inputs], processes: Mapping[str, NoiseProcess]
    ) -> Any:
        params = jax.tree.map(
            lambda x, of_use: x.astype(of_use) if is_large(x.shape) else x,
            params,
            compute_types(params, dtype),
        )
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
