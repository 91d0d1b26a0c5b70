"""Which bands of a file are read, and whether its alpha is a band or a mask (pure)."""

from dataclasses import dataclass

import numpy as np

from data_prep.imagery.bands import ReadError

ALPHA = ("auto", "band", "mask")


@dataclass(frozen=True)
class BandChoice:
    """What a user says about the bands of images.

    Attributes:
      bands: Numbers of the bands to read, from 1 as in GDAL, in this order; one may occur several
        times (1,1,1 makes three bands of grey). Empty: all, but for alpha.
      alpha: What a band that its file flags as alpha is: auto and mask, opacity (0 is no data);
        band, a spectral band like the others. With mask, the last of two or four bands is opacity
        where no band is flagged.
      nodata: Value of pixels without data, in all bands, where files do not declare it; None: they
        do, or there are none.
    """

    bands: tuple[int, ...] = ()
    alpha: str = "auto"
    nodata: int | None = None

    def check_nodata(self, dtype: str) -> None:
        """Check that pixels of a type can have the value of those without data.

        Raises:
          ReadError: They cannot.
        """
        greatest = np.iinfo(dtype).max
        if self.nodata is not None and not 0 <= self.nodata <= greatest:
            raise ReadError(
                f"is {dtype}, whose values are 0 to {greatest}, but --nodata={self.nodata} is given"
            )

    def in_words(self) -> str:
        """Say which bands are read."""
        bands = ", ".join(map(str, self.bands)) or "all"
        nodata = "as declared" if self.nodata is None else str(self.nodata)
        return f"{bands}; alpha {self.alpha}; nodata {nodata}"

    def of(self, num_bands: int, flagged: int | None) -> tuple[list[int], int | None]:
        """Return the indices of the bands to read, from 0, and that of alpha or None.

        Args:
          num_bands: Number of bands in the file, alpha included.
          flagged: Index of the band that the file flags as alpha.

        Raises:
          ReadError: A band that was chosen is not there.
        """
        alpha = None if self.alpha == "band" else flagged
        if self.alpha == "mask" and flagged is None and num_bands in (2, 4):
            alpha = num_bands - 1
        if not self.bands:
            return [i for i in range(num_bands) if i != alpha], alpha
        missing = [band for band in self.bands if not 1 <= band <= num_bands]
        if missing:
            raise ReadError(
                f"has {num_bands} band(s), and --bands={','.join(map(str, self.bands))} asks for"
                f" band {missing[0]}"
            )
        chosen = [band - 1 for band in self.bands]
        return chosen, None if alpha in chosen else alpha


AS_FLAGGED = BandChoice()
