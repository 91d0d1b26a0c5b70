"""Whether there are devices to compute on, said in one line where there are none."""

import jax

from noise2map_jax.errors import UserError


def require_devices() -> list[jax.Device]:
    """Return all devices of all processes, which JAX looks for at the first such call.

    Raises:
        UserError: JAX finds none of the kind that `JAX_PLATFORMS` asks for.
    """
    try:
        return jax.devices()
    except (AssertionError, RuntimeError) as error:  # the former: no plugin for the platform
        asked = jax.config.values["jax_platforms"]
        kind = f" for JAX_PLATFORMS={asked}" if asked else ""
        reason = " ".join(str(error).split()) or "nothing installed serves that platform"
        raise UserError(
            f"JAX finds no device{kind} ({reason}); install JAX for it, such as jax[cuda12] or"
            " jax[tpu], or leave JAX_PLATFORMS out"
        ) from None
