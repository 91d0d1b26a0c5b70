"""Maps of a scene, and one pass against 50 steps of DDIM."""

from benchmarks import mapping
from benchmarks.accelerator.job import Found, Job
from benchmarks.accelerator.reference import flop_per_image, random_params
from benchmarks.cases import Case
from noise2map_jax.devices.sharding import create_mesh, replicate
from noise2map_jax.experiment.network_choice import create_model
from noise2map_jax.mapping.model import Model
from noise2map_jax.page.measurements import Column, Shown, Table

OVERLAPS = {0: "none", -1: "half a tile"}


def measure_maps(job: Job) -> None:
    """Map a drawn scene with the overlaps that are still lacking."""
    model, side = _model(job.case(1)), job.size.scene_side
    scene, _ = mapping.draw(side, side, seed=7)
    job.found["side"] = side
    rows = job.found.setdefault("rows", [])
    for overlap in list(OVERLAPS)[len(rows) :]:
        job.need(job.compiling("forward"), f"overlap {OVERLAPS[overlap]}")
        row, _ = mapping.speed(model, scene, 0, overlap)
        rows.append({"asked": OVERLAPS[overlap]} | row)
        job.save()


def measure_passes(job: Job) -> None:
    """Time one pass, and as many as DDIM makes."""
    job.need(job.compiling("forward"), "both")
    flop = flop_per_image(job.case(1), "forward")
    found = mapping.against_ddim(
        _model(job.case(1)), min(job.size.repeats, 3), job.size.sampled_images
    )
    one, many = found["one_pass_seconds"]["median"], found[DDIM]["median"]
    passes, images = mapping.DDIM_STEPS, found["images"]
    for name, number, seconds in (("one_pass", 1, one), ("ddim", passes, many)):
        found[f"{name}_passes"] = number
        found[f"{name}_tflop"] = number * images * flop / 1e12
        found[f"{name}_images_per_second"] = images / seconds
        found[f"{name}_tflop_per_s"] = number * images * flop / seconds / 1e12
    job.found.update(found)
    job.save()


DDIM = f"ddim_{mapping.DDIM_STEPS}_seconds"


def _model(case: Case) -> Model:
    """Return the network with random weights: what it takes does not depend on them."""
    config, mesh = case.config(), create_mesh()
    network = create_model(config)
    params = replicate(random_params(network, case.tile_size), mesh)
    return Model("random weights", config, network, params, mesh, None, {})


def show_maps(found: Found) -> Shown:
    """Show the maps."""
    columns = (
        Column("Overlap", numeric=False),
        Column("Tile", "pixels a side"),
        Column("Megapixels/s"),
        Column("Computed twice", "%"),
        Column("Of the bare network", "%, of its speed"),
    )
    rows = tuple(
        (
            row["asked"],
            row["tile_size"],
            row["megapixels_a_second"],
            100 * row["share_computed_twice"],
            100 * row["share_of_the_bare_network"],
        )
        for row in found.get("rows", ())
    )
    side = found.get("side")
    note = f"A drawn scene of {side} x {side} pixels, all devices, random weights." if side else ""
    return Shown(note, (Table("", columns, rows),))


def show_passes(found: Found) -> Shown:
    """Show one pass beside DDIM."""
    if not found:
        return Shown()
    columns = (
        Column("Way", numeric=False),
        Column("Passes"),
        Column("TFLOP"),
        Column("Seconds"),
        Column("Images/s"),
        Column("TFLOP/s"),
    )
    ways = (("one pass", "one_pass", "one_pass_seconds"), ("DDIM", "ddim", DDIM))
    rows = tuple(
        (
            title,
            found[f"{name}_passes"],
            found[f"{name}_tflop"],
            found[seconds]["median"],
            found[f"{name}_images_per_second"],
            found[f"{name}_tflop_per_s"],
        )
        for title, name, seconds in ways
    )
    note = (
        f"{found['images']} images at once on the same backbone: a map is one pass; a sample of "
        f"DDIM is {found['ddim_passes']}. The map is there {found['times_faster']:.3g} times as "
        "fast. DDIM's own sums are not counted."
    )
    return Shown(note, (Table("", columns, rows),))
