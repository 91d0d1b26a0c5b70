"""How large everything is that is measured: by the kind of device."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Size:
    """What is measured.

    Attributes:
        network: a key of `cases.BACKBONES`.
        tile_size: side of the images in pixels.
        dtypes: types that the network computes in; of the first everything is measured.
        first_batch: images of the smallest batch; each of the next has twice as many.
        most_batch: images of the largest batch that is tried, for devices without a limit of their
            own.
        repeats: timed calls of a measurement.
        torch_modes: ways of PyTorch.
        product_side: side of the matrices that are multiplied; 0 = by the kind of device.
        copied_bytes: of the array that memory is measured with; 0 = by the kind of device.
        golden: folders of tests/golden.
        scene_side: side of the scene that is mapped, in pixels.
        sampled_images: number of images that DDIM draws at once; 0 = as many as maps take tiles.
        num_scenes: drawn scenes of train, val and test.
        drawn_side: side of the drawn scenes in pixels.
        num_batches: batches of a pass over the input pipeline.
        members_a_device: networks of the study, for each device.
        train_batch: images of a step of the short training.
        learning_rate: of the short training.
        least_steps: of the short training.
        most_steps: of the short training.
    """

    network: str
    tile_size: int
    dtypes: tuple[str, ...]
    first_batch: int
    most_batch: int
    repeats: int
    torch_modes: tuple[str, ...]
    product_side: int
    copied_bytes: int
    golden: tuple[str, ...]
    scene_side: int
    sampled_images: int
    num_scenes: tuple[int, int, int]
    drawn_side: int
    num_batches: int
    members_a_device: int
    train_batch: int
    learning_rate: float
    least_steps: int
    most_steps: int


FAMILIES = ("church_thin", "default_thin")
MODES = ("eager", "channels_last", "compile")
SIZES = {
    "full": Size(  # accelerators: the paper's network
        network="full",
        tile_size=256,
        dtypes=("bfloat16", "float32"),
        first_batch=8,
        most_batch=4096,
        repeats=10,
        torch_modes=MODES,
        product_side=0,
        copied_bytes=0,
        golden=FAMILIES,
        scene_side=4096,
        sampled_images=0,
        num_scenes=(64, 8, 8),
        drawn_side=512,
        num_batches=50,
        members_a_device=2,
        train_batch=16,
        learning_rate=1e-4,
        least_steps=50,
        most_steps=2000,
    ),
    "thin": Size(  # CPUs
        network="thin",
        tile_size=64,
        dtypes=("float32",),
        first_batch=2,
        most_batch=16,
        repeats=3,
        torch_modes=MODES,
        product_side=0,
        copied_bytes=0,
        golden=FAMILIES,
        scene_side=512,
        sampled_images=2,
        num_scenes=(128, 16, 16),
        drawn_side=128,
        num_batches=20,
        members_a_device=2,
        train_batch=8,
        learning_rate=3e-3,
        least_steps=20,
        most_steps=320,
    ),
    "tiny": Size(  # tests
        network="tiny",
        tile_size=16,
        dtypes=("float32",),
        first_batch=1,
        most_batch=1,
        repeats=1,
        torch_modes=("eager",),
        product_side=64,
        copied_bytes=2**20,
        golden=(),
        scene_side=32,
        sampled_images=1,
        num_scenes=(4, 2, 2),
        drawn_side=32,
        num_batches=2,
        members_a_device=1,
        train_batch=2,
        learning_rate=3e-3,
        least_steps=2,
        most_steps=2,
    ),
}


def size_for(platform: str) -> str:
    """Return the name of the size for a platform of JAX."""
    return "thin" if platform == "cpu" else "full"
