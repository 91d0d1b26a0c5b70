import flax.linen as nn
import golden_networks
import jax
import jax.numpy as jnp
import numpy as np

from noise2map_jax.networks.changemamba import ChangeDecoder, ChangeMamba
from noise2map_jax.networks.torch_names import to_torch

TINY = ChangeMamba(2, (4, 8), (1, 1), mlp_ratio=1.0, decoder_dim=4)


def test_scans_see_both_dates_in_three_arrangements():
    pre, post = jnp.zeros((1, 2, 3, 2)), jnp.ones((1, 2, 3, 2))
    seen = {}

    def record(call, arguments, options, context):
        if "st_block" in str(context.module.name) and context.module.name.endswith("_0"):
            seen[context.module.name] = np.asarray(arguments[0])
        return call(*arguments, **options)

    decoder = ChangeDecoder(4, 1.0, 1, 1.0, 0.0)
    with nn.intercept_methods(record):
        decoder.init(jax.random.key(0), [pre], [post])
    assert seen["st_block_11_0"][0, 0].tolist() == [[0, 0, 1, 1]] * 3
    assert seen["st_block_12_0"][0, 1, :, 0].tolist() == [0, 1, 0, 1, 0, 1]
    assert seen["st_block_13_0"][0, 1, :, 0].tolist() == [0, 0, 0, 1, 1, 1]


def test_the_usual_size_has_the_number_of_parameters_that_the_docs_state():
    assert golden_networks.count(ChangeMamba(2), (1, 64, 64, 6)) == 32_613_506


def test_tensors_have_the_authors_names():
    tensors = to_torch(TINY.init(jax.random.key(0), jnp.zeros((1, 8, 8, 6))))
    names = {name.split(".")[0] for name in tensors}
    assert names == {"encoder", "decoder", "main_clf"}
    decoder = {".".join(name.split(".")[1:3]) for name in tensors if name.startswith("decoder")}
    stages = [f"st_block_{stage}{scan}.{part}" for stage in "12" for scan in "123" for part in "02"]
    fusions = [f"fuse_layer_{stage}.{part}" for stage in "12" for part in "01"]
    smoothing = [f"smooth_layer_1.{part}" for part in ("conv1", "bn1", "conv2", "bn2")]
    assert decoder == {*stages, *fusions, *smoothing}
    assert tensors["decoder.st_block_11.0.weight"].shape == (4, 8, 1, 1)
    assert tensors["decoder.st_block_12.0.weight"].shape == (4, 4, 1, 1)
    assert tensors["encoder.outnorm1.weight"].shape == (8,)
