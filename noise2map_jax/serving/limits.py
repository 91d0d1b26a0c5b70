"""What a service takes, and for how long it keeps it."""

import dataclasses

from noise2map_jax.errors import UserError


@dataclasses.dataclass(frozen=True)
class Limits:
    """The limits of a service.

    Attributes:
        upload_bytes: bytes of one request.
        upload_seconds: time that an upload may take.
        megapixels: size of a scene, in millions of pixels.
        job_seconds: time that a map may take once its turn has come.
        waiting: maps that may wait for their turn; more are asked to come back.
        kept: results that are kept for download; the oldest goes first.
        kept_seconds: time for which a result is kept.
    """

    upload_bytes: int = 200 * 10**6
    upload_seconds: float = 120.0
    megapixels: float = 50.0
    job_seconds: float = 600.0
    waiting: int = 16
    kept: int = 32
    kept_seconds: float = 1800.0

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value <= 0:
                raise UserError(f"{field.name} is {value}; expected more than 0")
