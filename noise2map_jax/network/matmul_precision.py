"""Precision of float32 products; by default, accelerators multiply with fewer digits."""

from noise2map_jax.errors import UserError

PRECISIONS = ("default", "high", "highest")  # names and meanings of JAX
# Type of float32 products for each precision, by `jax.Device.platform`; elsewhere float32.
PRODUCTS: dict[str, tuple[str, ...]] = {
    "tpu": ("bfloat16", "three products of bfloat16", "float32, as six products of bfloat16"),
    "gpu": ("TF32 where the GPU has it", "TF32 where the GPU has it", "float32"),
}


def check_precision(name: str) -> str:
    """Return a name of `PRECISIONS`, or raise a `UserError` that lists them."""
    if name not in PRECISIONS:
        raise UserError(
            f"unknown model.matmul_precision {name!r}; expected one of {', '.join(PRECISIONS)}"
        )
    return name


def describe_precision(dtype: str, precision: str, platform: str) -> str:
    """Describe the type that a network computes in, and the true type of its float32 products.

    Args:
        dtype: type of convolutions and activations; the last convolution is always float32.
        precision: one of `PRECISIONS`.
        platform: platform of the devices, such as `cpu`, `gpu`, `tpu`.
    """
    products = PRODUCTS.get(platform, ("float32",) * len(PRECISIONS))
    product = products[PRECISIONS.index(precision)]
    return f"{dtype}; float32 multiplied in {product} (model.matmul_precision={precision})"
