"""Whether there are devices to compute on, said in one line where there are none."""

import jax

from noise2map_jax.errors import UserError

_NO_BACKEND = "Unable to initialize backend"  # begins what JAX says


def require_devices() -> list[jax.Device]:
    """Return all devices of all processes, which JAX looks for at the first such call.

    Raises:
        UserError: JAX finds none of the kind that `JAX_PLATFORMS` asks for.
    """
    try:
        return jax.devices()
    except (AssertionError, RuntimeError) as error:  # the former: no plugin for the platform
        reason = " ".join(str(error).split())
        if isinstance(error, RuntimeError) and not reason.startswith(_NO_BACKEND):
            raise  # such as a process that does not answer
        asked = jax.config.values["jax_platforms"]
        kind, otherwise = (
            (f" for JAX_PLATFORMS={asked}", ", or leave it out") if asked else ("", "")
        )
        raise UserError(
            f"JAX finds no device{kind}: {reason or 'nothing installed serves that platform'}. It "
            "needs a device that no other program holds, and JAX's package for it, such as "
            f"jax[cuda12] or jax[tpu]{otherwise}"
        ) from None
