import os
import subprocess
import sys

import numpy as np
import programs
import pytest
import rasterio
from rasterio import Affine

from data_prep.imagery.grid import Grid
from data_prep.imagery.new_raster import created_raster, windows
from data_prep.imagery.raster_bands import rasterio_window

GRID = Grid(600, 700, Affine(0.5, 0, 5e5, 0, -0.5, 4e6), rasterio.CRS.from_epsg(32616))
PROFILE = {"count": 1, "dtype": "uint8"}
NOISE = np.random.default_rng(0).integers(0, 255, (600, 700), np.uint8)


def write(path):
    with created_raster(path, GRID, PROFILE) as file:
        for window in windows(GRID):
            row, column, height, width = window
            part = NOISE[row : row + height, column : column + width]
            file.write(part, 1, window=rasterio_window(window))


def test_windows_make_the_file(tmp_path):
    write(tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif") as file:
        np.testing.assert_array_equal(file.read(1), NOISE)
        assert (file.crs, file.transform) == (GRID.crs, GRID.transform)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_after_an_error_there_is_no_file(tmp_path):
    with pytest.raises(KeyError), created_raster(tmp_path / "a.tif", GRID, PROFILE):
        raise KeyError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kibibytes", [8, 64, 256])
def test_a_full_disk_is_an_error_and_leaves_no_file(tmp_path, kibibytes):
    """A file may not grow beyond a limit: GDAL closes it without a word."""
    program = (
        "import pathlib, resource, sys\n"
        "from data_prep.imagery.bands import ReadError\n"
        "from tests.data_prep.imagery.test_new_raster import write\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, 2 * (int(sys.argv[2]) << 10,))\n"
        "try:\n"
        "    write(pathlib.Path(sys.argv[1]))\n"
        "except (ReadError, OSError) as error:\n"
        "    sys.exit(3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "a.tif"), str(kibibytes)],
        cwd=programs.ROOT,
        env=os.environ | {"PYTHONPATH": str(programs.HELPERS)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 3, done.stderr
    assert not list(tmp_path.iterdir())
