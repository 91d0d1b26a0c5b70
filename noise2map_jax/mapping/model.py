"""A trained network that maps images."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from data_prep.imagery.band_choice import BandChoice
from noise2map_jax.errors import UserError
from noise2map_jax.experiment.components import create_process, create_task, predicting_at
from noise2map_jax.experiment.network_choice import sees_noise
from noise2map_jax.exports.loaded import LoadedModel
from noise2map_jax.mapping.exported_predictor import ExportedPredictor
from noise2map_jax.mapping.prediction_options import BEST, PredictionOptions
from noise2map_jax.mapping.predictor import Predictor
from noise2map_jax.method.noise import noise_draws
from noise2map_jax.network.interface import Network
from noise2map_jax.network.model import resampling_to

if TYPE_CHECKING:
    from noise2map_jax.mapping.arrays import Maps


@dataclasses.dataclass(frozen=True)
class Model:
    """A trained network with what it was trained for; see `loading.load`.

    Attributes:
        source: the run, export or name that it was loaded from.
        config: the config of its task.
        network: the network.
        params: its parameters, on every device.
        mesh: the devices.
        step: the step that the parameters were saved at; None if the source does not say.
        found: what `--mode=eval` wrote of this task: content of its JSON files by name, without
            suffix.
        program: what predicts in place of the network, for an export of `--format=stablehlo`.
    """

    source: str
    config: ConfigDict
    network: Network
    params: Any
    mesh: Mesh
    step: int | None
    found: dict[str, dict[str, Any]]
    program: LoadedModel | None = None
    _predictors: dict[Any, Predictor] = dataclasses.field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if not create_task(self.config).has_classes:
            raise UserError(f"the run {self.source!r} was trained to denoise; it predicts no maps")

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return tuple(self.config.data.classes)

    @property
    def image_keys(self) -> tuple[str, ...]:
        """Names of the images that a map is made of: `image`, or `pre` and `post`."""
        return create_task(self.config).image_keys

    @property
    def band_choice(self) -> BandChoice:
        """Which bands of an image the network reads: those of its dataset."""
        data = self.config.data
        return BandChoice(data.bands, data.alpha, None if data.nodata < 0 else data.nodata)

    def predict(self, image: Any, post: Any = None, **options: Any) -> Maps:
        """Map an image or a pair; see `arrays.predict`."""
        from noise2map_jax.mapping import arrays

        return arrays.predict(self, image, post, **options)

    def threshold(self, options: PredictionOptions) -> float | None:
        """Return the threshold as a number; None: the most probable class.

        Raises:
            UserError: the best one is asked for, and evaluation has not stored it for these
                parameters at this temperature.
        """
        if options.threshold is None or isinstance(options.threshold, float):
            return options.threshold
        assert options.threshold == BEST  # the options checked it
        found = self.found.get("threshold", {}).get("threshold")
        if found is None:
            raise UserError(
                f"{self.source} does not know its best threshold: --mode=eval of a run finds it on"
                " the validation split; or give a number, such as --threshold=0.4"
            )
        if self.found["threshold"]["step"] != self.step:
            raise UserError(
                f"the best threshold of {self.source} is that of step"
                f" {self.found['threshold']['step']}, but its best checkpoint is of step"
                f" {self.step}: run --mode=eval again"
            )
        temperature = self.found["threshold"].get("temperature", 1.0)
        if options.temperature not in (None, temperature):
            raise UserError(
                f"the best threshold of {self.source} is that of the temperature {temperature:g},"
                f" not of {options.temperature:g}: leave the temperature out, or give the threshold"
                " as a number"
            )
        return float(found)

    def temperature(self, options: PredictionOptions) -> float:
        """Return the temperature of probabilities."""
        return options.temperature or self.config.eval.temperature

    def predicting(self, options: PredictionOptions) -> ConfigDict:
        """Return the config of prediction: with the timesteps and temperature of the options."""
        config = predicting_at(self.config, options.timesteps)
        config.eval.temperature = self.temperature(options)
        return config

    def predictor(self, options: PredictionOptions) -> Predictor | ExportedPredictor:
        """Return the network for some options; it is made once.

        Raises:
            UserError: a timestep does not exist, or an export cannot do what is asked for.
        """
        if self.program:
            return ExportedPredictor(self.program, options)
        sample_size = options.sample_size(self.config)
        temperature = self.temperature(options)
        key = options.timesteps, options.symmetries, temperature, sample_size
        if key not in self._predictors:
            self._predictors[key] = Predictor(
                self.predicting(options),
                resampling_to(self.network, sample_size),
                self.params,
                self.mesh,
                symmetries=options.symmetries,
            )
        return self._predictors[key]

    def check_uncertainty(self, options: PredictionOptions) -> None:
        """Check that a pixel gets several predictions, whose spread is its uncertainty.

        Raises:
            UserError: it gets one.
        """
        if self.program:
            raise UserError("an export of --format=stablehlo gives no uncertainty; use the run")
        config = self.predicting(options)
        num_timesteps = len(config.noise.inference_timesteps)
        draws = noise_draws(create_process(config), config.eval.num_noise_draws)
        if num_timesteps * len(draws) == 1 and not options.symmetries:
            if not sees_noise(config):
                raise UserError(
                    f"an uncertainty needs several predictions, but {config.model.name} sees"
                    " neither noise nor a timestep, so it gives one; use --tta"
                )
            raise UserError(
                f"an uncertainty needs several predictions, but the run predicts at {num_timesteps}"
                " timestep; give more, for example --timesteps=700,800,900,999, or --tta"
            )
