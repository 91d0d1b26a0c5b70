import types

import numpy as np
import pytest

from noise2map_jax.errors import UserError
from noise2map_jax.networks.tile_size import check_tile_size


class PSPNet(types.SimpleNamespace):
    pass


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (
            (70, 96),
            "PSPNet takes tiles whose .* multiples of 32 pixels, not 70 x 96: use 64 or 96 rows$",
        ),
        ((64, 8), "use 32 columns"),
        ((33, 100), "use 32 or 64 rows and 96 or 128 columns"),
        ((0, 32), "use 32 rows"),
    ],
)
def test_sizes_that_a_network_takes_are_named(size, message):
    network = PSPNet(stride=32)
    with pytest.raises(UserError, match=message):
        check_tile_size(network, np.zeros((1, *size, 3)))
    check_tile_size(network, np.zeros((1, 32, 96, 3)))
