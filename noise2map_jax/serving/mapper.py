"""Maps what was uploaded: the work of a job."""

import contextlib
import dataclasses
import pathlib
from typing import Any

from noise2map_jax.errors import UserError
from noise2map_jax.mapping.model import Model
from noise2map_jax.mapping.prediction_options import PredictionOptions
from noise2map_jax.mapping.scene_map import MapFiles, map_scene, open_images
from noise2map_jax.polygons.polygonization import write_polygons
from noise2map_jax.serving import pictures
from noise2map_jax.serving.jobs import Job
from noise2map_jax.serving.limits import Limits
from noise2map_jax.serving.upload import Upload


@dataclasses.dataclass(frozen=True)
class Mapper:
    """A trained network, and how it maps.

    Attributes:
        model: the network.
        options: how it predicts where a request does not say otherwise.
        limits: the largest scene.
    """

    model: Model
    options: PredictionOptions
    limits: Limits

    def check(self, upload: Upload) -> PredictionOptions:
        """Return the options of a request.

        Raises:
            UserError: they do not fit the network.
        """
        changed: dict[str, Any] = {}
        if upload.threshold is not None:
            changed["threshold"] = upload.threshold
        if upload.tta is not None:
            changed["symmetries"] = upload.tta
        options = dataclasses.replace(self.options, **changed)
        self.model.threshold(options)
        return options

    def __call__(self, upload: Upload, folder: pathlib.Path, job: Job) -> list[str]:
        """Map the images of a request.

        Args:
            upload: the request.
            folder: where its images lie and its results go.
            job: looks whether the work should go on.

        Returns:
            Notes for the user: what could not be had, and why.

        Raises:
            UserError: the images do not fit the network or each other, or are too large.
            Stopped: time is over, or nobody waits.
        """
        options = self.check(upload)
        with contextlib.ExitStack() as stack:
            images = open_images(self.model, upload.images, stack)
            grid = images[0].grid
            megapixels = grid.height * grid.width / 1e6
            if megapixels > self.limits.megapixels:
                raise UserError(
                    f"the image has {megapixels:,.1f} megapixels; this service takes"
                    f" {self.limits.megapixels:g}"
                )
            for image, name in zip(images, ("before", "after"), strict=False):
                pictures.save_image(image, folder / f"{name}.png")
                job.check()
        class_map, probability = folder / "map.tif", folder / "probability.tif"
        files = MapFiles(str(class_map), str(probability), dtype="uint8")
        map_scene(self.model, upload.images, files, options, progress=job.check)
        pictures.save_map(class_map, len(self.model.classes), folder / "map.png")
        for path in upload.images:
            pathlib.Path(path).unlink()
        try:
            write_polygons(
                str(class_map), str(folder / "polygons.geojson"), probability=str(probability)
            )
        except UserError as error:
            return [f"no polygons: {error}".replace(str(folder), "")]
        return []
