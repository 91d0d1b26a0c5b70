"""Gradients over all devices: each device computes the gradients of its own rows, then they add up.

Devices gather parameters once a step and sum gradients once for each task.

The exchanges are written out here because XLA's partitioner, left to itself, also splits the
convolutions that compute the gradients of split kernels, and sends activations between devices for
them (benchmarks/NOTES.md).
"""

from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import Mesh, PartitionSpec

from noise2map_jax.devices.sharding import AXES, is_large, parameter_spec
from noise2map_jax.method.noise import NoiseProcess
from noise2map_jax.network.interface import compute_types
from noise2map_jax.steps.train_step import Gradients, Inputs


def data_parallel(gradients: Gradients, mesh: Mesh, dtype: Any) -> Gradients:
    """Spread the computation of gradients over the devices of a mesh.

    Parameters that are split over the axis `fsdp` are gathered for the whole step. Each device
    keeps the gradients of the part that it holds (Rajbhandari et al. 2020, ZeRO stage 2 with the
    parameters at rest split as well; Xu et al. 2020).

    Args:
        gradients: `train_step.gradient_sums` for a device's own rows.
        mesh: the devices.
        dtype: type that the network computes in. Large parameters are exchanged in the type that
            they are used in (`model.compute_types`). So are their gradients, unless they are sums
            over micro-batches.

    Returns:
        The same function for global arrays, to be called within a jitted function.
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
            found = gradients(whole, inputs, processes, axes=AXES)
            return {
                name: (jax.lax.psum(loss, AXES), jax.tree.map(_sum, gradient, specs), statistics)
                for name, (loss, gradient, statistics) in found.items()
            }

        return jax.shard_map(
            of_own_rows,
            mesh=mesh,
            in_specs=(specs, rows, everywhere),
            out_specs=dict.fromkeys(inputs, (everywhere, specs, everywhere)),
            check_vma=False,  # custom gradients of convolutions do not declare varying axes
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
