"""TPU slices to compile for without having one."""

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import jax
from jax.experimental import topologies

from noise2map_jax.errors import UserError

# On v4 machines JAX lists whole chips; a topology description lists half chips without this.
_OPTIONS: dict[str, dict[str, Any]] = {"v4": {"chip_config_name": "megacore"}}


def topology_devices(name: str, num_slices: int = 1) -> list[Any]:
    """Describe the devices of a TPU slice; this machine needs no TPU.

    Args:
        name: generation and shape in chips: `v5e:16x16`, `v6e:16x16`, `v5p:8x8x8`, `v4:4x4x4`,
            `tpu7x:4x4x4`.
        num_slices: number of such slices, joined by the network of the data centre.

    Returns:
        Devices that programs can be compiled for, but cannot run on.

    Raises:
        UserError: libtpu is not installed, or there is no such slice.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise UserError(
            f"--topology={name} needs the compiler for TPUs; install it with "
            "pip install 'noise2map_jax[tpu]'"
        )
    generation, _, shape = name.partition(":")
    if not shape:
        raise UserError(f"--topology={name} has no shape; expected for example v5e:16x16")
    options = _OPTIONS.get(generation, {})
    if num_slices > 1:
        options = options | {"num_slices": num_slices}
    with _without_a_tpu():
        try:
            found = topologies.get_topology_desc(platform="tpu", topology_name=name, **options)
        except (jax.errors.JaxRuntimeError, ValueError, NotImplementedError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"--topology={name}: {reason}; expected for example v5e:16x16, v6e:16x16, "
                "v5p:8x8x8, v4:4x4x4, tpu7x:4x4x4"
            ) from None
    return list(found.devices)


@contextlib.contextmanager
def _without_a_tpu() -> Iterator[None]:
    """Let libtpu load on any machine without looking for a TPU's metadata or claiming a TPU.

    Otherwise libtpu would wait for a metadata server, and for a lock that another program on the
    machine may hold.
    """
    wanted = {
        "TPU_SKIP_MDS_QUERY": "1",
        "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    }
    before = {key: os.environ.get(key) for key in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
