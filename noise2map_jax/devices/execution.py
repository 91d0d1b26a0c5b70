"""How training steps are run: for one network over all devices, or for several networks at once."""

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
    """Where networks and their batches lie, and how one call of a step does all of them.

    One network: its batch is split over the devices. Several networks are stacked along a leading
    axis [M], in which each device has its own ones and needs nothing of the others.

    Attributes:
        mesh: the devices: axes `data` and `fsdp` for one network, axis `member` for several.
        num_members: M, networks in one call.
    """

    mesh: Mesh
    num_members: int = 1

    @property
    def is_stacked(self) -> bool:
        """Whether arrays have a leading axis of networks."""
        return MEMBER in self.mesh.axis_names

    def jit(self, step: Step, init: Step) -> tuple[jax.stages.Wrapped, jax.stages.Wrapped]:
        """Compile a step and the making of its first state. The one place where that is done.

        Args:
            step: `(state, batches, processes, key) -> (state, metrics)`, of one network.
            init: `key -> state`, of one network.

        Returns:
            The same of all networks of a call; the step donates its state.
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
        """Call a function of one network for all, each on the device that holds it."""
        a_device = self.num_members // self.mesh.size

        def local(*trees: Any) -> Any:
            if a_device > 1:
                return jax.vmap(function)(*trees)
            # A single network a device is not vmapped: its convolutions stay what they are.
            result = function(*jax.tree.map(lambda leaf: leaf[0], trees))
            return jax.tree.map(lambda leaf: leaf[None], result)

        members = PartitionSpec(MEMBER)
        return jax.shard_map(
            local, mesh=self.mesh, in_specs=members, out_specs=members, check_vma=False
        )

    @property
    def sharding(self) -> NamedSharding:
        """Where processes and keys lie."""
        axes = (MEMBER,) if self.is_stacked else ()
        return NamedSharding(self.mesh, PartitionSpec(*axes))

    def state_sharding(self, state: Any) -> Any:
        """Say where each array of a state lies, of one network by its size.

        Args:
            state: the state, or its shapes.
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
        """Bring trees of arrays, one a network, onto the devices; each gets only its own.

        Of only one network a call, they lie whole on all devices already.
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
        """Bring parameters that lie whole on all devices to where steps take them from."""
        stacked = self.stack(params)
        if self.is_stacked:
            return stacked
        return sharding.move(stacked, self.state_sharding(stacked))

    def _filled(self, items: Sequence[Any]) -> list[Any]:
        """Fill the places that are left over in a call with the last network."""
        return [*items, *[items[-1]] * (self.num_members - len(items))]

    def member(self, tree: Any, index: int) -> Any:
        """Take the arrays of one network, which then lie whole on every device there is."""
        if not self.is_stacked:
            return sharding.move(tree, jax.tree.map(lambda _: self.sharding, tree))
        with jax.transfer_guard("allow"):
            one = jax.tree.map(lambda leaf: leaf[index], tree)
            return jax.device_put(one, sharding.replicated(sharding.create_mesh()))

    def rows(self, batch_size: int) -> list[int]:
        """Rows of a network's batch that this process reads."""
        if self.is_stacked:
            return list(range(batch_size))
        return sharding.process_rows(self.mesh, batch_size, jax.process_index()).tolist()

    def put_batches(self, batches: Sequence[HostBatch]) -> Any:
        """Bring the batches of all networks of a call onto the devices."""
        if not self.is_stacked:
            (batch,) = batches
            return {name: sharding.shard_batch(part, self.mesh) for name, part in batch.items()}
        filled = self._filled(batches)
        with jax.transfer_guard("allow"):
            return jax.device_put(
                jax.tree.map(lambda *leaves: np.stack(leaves), *filled), self.sharding
            )


def create_execution(kind: str, num_networks: int, fsdp: int = 1) -> Execution:
    """Choose where networks lie.

    Args:
        kind: `dispatch`: one network a call, over all devices; `vmap`: as many networks a device
            as it takes to do all in one call; `devices`: one network a device.
        num_networks: how many there are.
        fsdp: number of devices that share one copy of a network's parameters; for `dispatch`.

    Raises:
        UserError: an unknown kind, or several networks a call in a run of several processes, or of
            networks whose parameters are split over devices.
    """
    if kind == "dispatch":
        return Execution(sharding.create_mesh(fsdp))
    if kind not in KINDS:
        raise UserError(f"unknown execution {kind!r}; expected one of {', '.join(KINDS)}")
    if jax.process_count() > 1:
        raise UserError(
            f"execution {kind!r} needs all devices in one process, and there are "
            f"{jax.process_count()}; use dispatch"
        )
    if fsdp != 1:
        raise UserError(
            f"execution {kind!r} holds whole networks on a device, and mesh.fsdp is {fsdp}; use "
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
    """Ways to execute networks on the devices at hand; one at least, the simplest first.

    Args:
        batch_size: rows of the batch of each network.
        num_microbatches: parts in which it is computed.
        num_networks: that share an executable.
        fsdp: devices that share one copy of a network's parameters.
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
