"""Running training steps: of one network over all devices, or of several networks at once."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from noise2map_jax.devices import sharding
from noise2map_jax.devices.compiler_options import compiler_options
from noise2map_jax.errors import UserError

Step = Callable[..., Any]
HostBatch = dict[str, dict[str, np.ndarray]]  # by task
MEMBER = "member"
KINDS = ("dispatch", "vmap", "devices")


@dataclasses.dataclass(frozen=True)
class Execution:
    """Placement of networks and their batches on devices, so that one call trains all of them.

    The batch of a single network is split over the devices. Several networks are stacked along a
    leading axis [M]; each device holds its own networks and needs nothing from other devices.

    Attributes:
        mesh: the devices, with axes `data` and `fsdp` for one network, or `member` for several.
        num_members: M, the number of networks in one call.
    """

    mesh: Mesh
    num_members: int = 1

    @property
    def is_stacked(self) -> bool:
        """Whether arrays have the leading axis [M]."""
        return MEMBER in self.mesh.axis_names

    def jit(self, step: Step, init: Step) -> tuple[jax.stages.Wrapped, jax.stages.Wrapped]:
        """Jit a training step and the function that makes its first state.

        Args:
            step: `(state, batches, processes, key) -> (state, metrics)` for one network.
            init: `key -> state` for one network.

        Returns:
            Both functions for all networks of a call; the step donates its state.
        """
        options = compiler_options(self.mesh.devices.flat)
        if not self.is_stacked:
            rep, rows = sharding.replicated(self.mesh), sharding.batch_sharding(self.mesh)
            state = self.state_sharding(jax.eval_shape(init, jax.eval_shape(jax.random.key, 0)))
            step_fn = jax.jit(
                step,
                in_shardings=(state, rows, rep, rep),
                out_shardings=(state, rep),
                donate_argnums=0,
                compiler_options=options,
            )
            return step_fn, jax.jit(init, out_shardings=state)
        step_fn = jax.jit(self._on_each_device(step), donate_argnums=0, compiler_options=options)
        return step_fn, jax.jit(self._on_each_device(init))

    def _on_each_device(self, function: Step) -> Step:
        """Turn a function of one network into one of all, each on the device that holds it."""
        a_device = self.num_members // self.mesh.size

        def local(*trees: Any) -> Any:
            if a_device > 1:
                return jax.vmap(function)(*trees)
            # No vmap for a single network a device: vmap would change its convolutions.
            result = function(*jax.tree.map(lambda leaf: leaf[0], trees))
            return jax.tree.map(lambda leaf: leaf[None], result)

        members = PartitionSpec(MEMBER)
        return jax.shard_map(
            local, mesh=self.mesh, in_specs=members, out_specs=members, check_vma=False
        )

    @property
    def sharding(self) -> NamedSharding:
        """Sharding of noise processes and random keys."""
        axes = (MEMBER,) if self.is_stacked else ()
        return NamedSharding(self.mesh, PartitionSpec(*axes))

    def state_sharding(self, state: Any) -> Any:
        """Return the sharding of each array of a state; for one network, size decides.

        Args:
            state: the training state, or its shapes.
        """
        if self.is_stacked:
            return jax.tree.map(lambda _: self.sharding, state)
        return sharding.parameter_sharding(state, self.mesh)

    def keys(self, seeds: Sequence[int]) -> jax.Array:
        """Make a random key for each network from its seed."""
        if not self.is_stacked:
            (seed,) = seeds
            return jax.jit(functools.partial(jax.random.key, seed), out_shardings=self.sharding)()
        with jax.transfer_guard("allow"):
            numbers = np.array(self._filled(seeds), np.uint32)
            return jax.jit(jax.vmap(jax.random.key), out_shardings=self.sharding)(numbers)

    def stack(self, trees: Sequence[Any]) -> Any:
        """Put one tree of arrays for each network onto the devices that hold the networks.

        With one network a call the tree is returned as it is: all devices hold it already.
        """
        if not self.is_stacked:
            (tree,) = trees
            return tree
        with jax.transfer_guard("allow"):
            filled = self._filled([jax.device_get(tree) for tree in trees])
            return jax.device_put(
                jax.tree.map(lambda *leaves: np.stack(leaves), *filled), self.sharding
            )

    def stack_params(self, params: Sequence[Any]) -> Any:
        """Move parameters that every device holds whole to the shardings that steps expect."""
        stacked = self.stack(params)
        if self.is_stacked:
            return stacked
        return sharding.move(stacked, self.state_sharding(stacked))

    def _filled(self, items: Sequence[Any]) -> list[Any]:
        """Repeat the last network until there are `num_members` items."""
        return [*items, *[items[-1]] * (self.num_members - len(items))]

    def member(self, tree: Any, index: int) -> Any:
        """Return the arrays of one network, replicated on every device."""
        if not self.is_stacked:
            return sharding.move(tree, jax.tree.map(lambda _: self.sharding, tree))
        with jax.transfer_guard("allow"):
            one = jax.tree.map(lambda leaf: leaf[index], tree)
            return jax.device_put(one, sharding.replicated(sharding.create_mesh()))

    def rows(self, batch_size: int) -> list[int]:
        """Numbers of the rows of a network's batch that this process reads."""
        if self.is_stacked:
            return list(range(batch_size))
        return sharding.process_rows(self.mesh, batch_size, jax.process_index()).tolist()

    def put_batches(self, batches: Sequence[HostBatch]) -> Any:
        """Put the batches of all networks of a call onto the devices."""
        if not self.is_stacked:
            (batch,) = batches
            return {name: sharding.shard_batch(part, self.mesh) for name, part in batch.items()}
        filled = self._filled(batches)
        with jax.transfer_guard("allow"):
            return jax.device_put(
                jax.tree.map(lambda *leaves: np.stack(leaves), *filled), self.sharding
            )


def create_execution(kind: str, num_networks: int, fsdp: int = 1) -> Execution:
    """Choose how networks are placed on devices.

    Args:
        kind: `dispatch`: one network a call, over all devices; `vmap`: all networks in one call,
            several a device where needed; `devices`: one network a device.
        num_networks: the number of networks to train.
        fsdp: number of devices that share one copy of a network's parameters; for `dispatch`.

    Raises:
        UserError: the kind is unknown, or a kind other than `dispatch` is asked for in a run of
            several processes or with parameters that are split over devices.
    """
    if kind == "dispatch":
        return Execution(sharding.create_mesh(fsdp))
    if kind not in KINDS:
        raise UserError(f"unknown execution {kind!r}; expected one of {', '.join(KINDS)}")
    if jax.process_count() > 1:
        raise UserError(
            f"execution {kind!r} needs all devices in one process, but this run has "
            f"{jax.process_count()} processes; use dispatch"
        )
    if fsdp != 1:
        raise UserError(
            f"execution {kind!r} holds whole networks on a device, but mesh.fsdp is {fsdp}; use "
            "dispatch"
        )
    num_devices = min(jax.device_count(), num_networks)
    mesh = jax.make_mesh(
        (num_devices,), (MEMBER,), axis_types=(AxisType.Auto,), devices=jax.devices()[:num_devices]
    )
    a_device = -(-num_networks // num_devices) if kind == "vmap" else 1
    return Execution(mesh, num_devices * a_device)


def possible_kinds(
    batch_size: int, num_microbatches: int, num_networks: int, fsdp: int = 1
) -> list[str]:
    """List the kinds of execution that the devices here allow: at least one, simplest first.

    Args:
        batch_size: rows of each network's batch.
        num_microbatches: number of parts that a batch is computed in.
        num_networks: number of networks that share an executable.
        fsdp: number of devices that share one copy of a network's parameters.
    """
    if fsdp != 1:
        return ["dispatch"]
    num_devices, kinds = jax.device_count(), []
    if num_microbatches < 1 or batch_size % (num_devices * num_microbatches) == 0:
        kinds.append("dispatch")
    if num_devices > 1 and (num_networks > 1 or not kinds):
        kinds.append("devices")
    if num_networks > num_devices:
        kinds.append("vmap")
    return kinds or ["dispatch"]
