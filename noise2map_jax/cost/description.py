"""The costs of a compiled step as text for people."""

from noise2map_jax.cost.accelerators import GIB, MEMORY_SHARE, Accelerator
from noise2map_jax.cost.step_cost import StepCost

WHAT_TO_CHANGE = (
    "use a smaller train.batch_size, more train.num_microbatches, train.remat=blocks, or "
    "model.dtype=bfloat16; mesh.fsdp splits parameters and optimiser"
)


def describe(
    cost: StepCost, accelerator: Accelerator | None, num_images: int, num_devices: int
) -> str:
    """Describe the costs of a step on one device, whether it fits, and its largest speed.

    Args:
        cost: the costs of a step on one device.
        accelerator: the limits of a device; None if they are not known.
        num_images: images a step, over all devices.
        num_devices: number of devices.
    """
    own = num_images / num_devices
    lines = ["memory of a device"]
    parts = {
        "parameters": "parameters",
        "optimizer": "optimiser",
        "averages": "averaged parameters",
        **({"initial": "initial parameters"} if cost.initial else {}),
        "batch": "batch",
        "temporary": "activations",
        "code": "program",
    }
    for part, name in parts.items():
        lines.append(f"  {name:<20}{getattr(cost, part) / GIB:8.3f} GiB")
    if cost.workspace:
        lines.append(
            f"  {'workspace':<20}{cost.workspace / GIB:8.3f} GiB, an allowance for cuDNN: without "
            "a GPU the compiler cannot count it, and what it counts is a lower bound"
        )
    share = ""
    if accelerator:
        fits = "it fits"
        if cost.memory > accelerator.usable:  # only some compilers raise an error themselves
            fits = f"it does NOT fit; {WHAT_TO_CHANGE}"
        share = f" of {describe_memory(accelerator)}: {fits}"
    lines.append(f"  {'all':<20}{cost.memory / GIB:8.3f} GiB{share}")
    lines.append(f"\na step of {num_images:,} images, {own:g} a device")
    units = {
        "arithmetic": (cost.flops / 1e12, "TFLOP", "flops", "TFLOP/s", 1e12),
        "memory traffic": (cost.traffic / 1e9, "GB", "bandwidth", "GB/s", 1e9),
        "collectives": (cost.sent_within_slice / 1e9, "GB", "interconnect", "GB/s", 1e9),
    }
    seconds = cost.seconds(accelerator) if accelerator else {}
    for name, (amount, unit, limit, limit_unit, scale) in units.items():
        line = f"  {name:<20}{amount:8.3f} {unit:<6}"
        if accelerator:
            most = getattr(accelerator, limit) / scale
            line += f"{1e3 * seconds[name]:9.2f} ms at {most:,.0f} {limit_unit}"
        lines.append(line.rstrip())
    lines += [f"    {kind:<18}{size / 1e9:8.3f} GB" for kind, size in cost.sent().items()]
    tera, giga = cost.flops / own / 1e12, cost.traffic / own / 1e9
    line = f"  {'an image':<20}{tera:8.3f} TFLOP, {giga:.2f} GB"
    if cost.counted_traffic is not None:
        line += f" ({cost.counted_traffic / own / 1e9:.2f} GB with what stays on the chip)"
    lines.append(line)
    if accelerator:
        bound = max(seconds, key=lambda name: seconds[name])
        rate = num_images / seconds[bound]
        lines.append(
            f"\nbound by {bound}: at most {rate:,.0f} images/s, {rate / num_devices:,.1f} a device"
        )
        if (estimate := cost.estimated_seconds(accelerator)) is not None:
            lines += _estimate(cost.cycles, estimate, num_images)
    return "\n".join(lines)


def describe_memory(accelerator: Accelerator) -> str:
    """Describe the memory that JAX gives to arrays, and which part of the device's it is."""
    usable = f"{accelerator.usable / GIB:.1f}"
    if accelerator.share == 1:
        return usable
    return f"{usable} ({MEMORY_SHARE}={accelerator.share:g} of {accelerator.memory / GIB:.1f})"


def _estimate(cycles: dict[str, float], seconds: float, num_images: int) -> list[str]:
    """Describe the compiler's estimate of the time, and the parts that take most of it."""
    total = sum(cycles.values())
    lines = [
        "\nestimated by the compiler's own model, not measured, without exchanges between devices",
        f"  {'a step':<20}{1e3 * seconds:8.2f} ms, {total / 1e6:,.1f} million cycles: "
        f"{num_images / seconds:,.0f} images/s",
    ]
    return lines + [
        f"    {part:<18}{1e3 * seconds * of_part / total:8.2f} ms, {of_part / total:.0%}"
        for part, of_part in cycles.items()
        if of_part > 0.02 * total
    ]
