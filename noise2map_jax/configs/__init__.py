"""The experiments that come with the project, as a start for configs of one's own.

    from noise2map_jax.configs import default, ss_buildings

In a checkout they lie in `configs/` at its top, where this package looks for its modules. A wheel
has the files of that folder here, instead of this one (`package_dir` in setup.py).
"""

import pathlib

__path__ = [str(pathlib.Path(__file__).parents[2] / "configs")]
