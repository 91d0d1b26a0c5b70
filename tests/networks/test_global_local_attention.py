import jax
import numpy as np
import pytest

from noise2map_jax.networks.global_local_attention import (
    GlobalLocalAttention,
    from_windows,
    relative_positions,
    to_windows,
)


def test_windows_are_joined_as_they_were_cut():
    x = np.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    windows = to_windows(x, 2)
    np.testing.assert_array_equal(windows[0, 1, 2], x[0, 2:4, 4:6].reshape(4, 3))
    np.testing.assert_array_equal(from_windows(windows, 2), x)


def test_offsets_have_numbers_of_their_own():
    numbers = relative_positions(2)
    # From each of (0, 0), (0, 1), (1, 0), (1, 1) to each.
    assert numbers.tolist() == [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]


def norm(x, layer, statistics):
    scale = layer["scale"] / np.sqrt(statistics["var"] + 1e-5)
    return (x - statistics["mean"]) * scale + layer["bias"]


def convolve(x, kernel, before, after, depthwise=False):
    rows, columns = kernel.shape[:2]
    x = np.pad(x, ((0, 0), (before, after), (before, after), (0, 0)))
    height, width = x.shape[1] - rows + 1, x.shape[2] - columns + 1
    parts = []
    for i in range(rows):
        for j in range(columns):
            seen = x[:, i : i + height, j : j + width]
            parts.append(seen * kernel[i, j, 0] if depthwise else seen @ kernel[i, j])
    return sum(parts)


@pytest.mark.parametrize(("height", "width"), [(8, 4), (5, 6)])
@pytest.mark.usefixtures("highest_precision")
def test_the_layer_is_its_definition(height, width):
    """Also where windows do not divide the map, which is then continued by reflection."""
    size, heads, channels = 4, 2, 6
    layer = GlobalLocalAttention(heads, size)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, height, width, channels)).astype(np.float32)
    local = rng.normal(size=(1, height, width, 5)).astype(np.float32)
    variables = layer.init(jax.random.key(0), x, local)
    variables = jax.tree.map(lambda v: rng.uniform(0.1, 1, v.shape).astype(np.float32), variables)
    params, stats = variables["params"], variables["batch_stats"]

    near = 0
    for name, before in (("local1", 1), ("local2", 0)):
        convolved = convolve(local, params[f"{name}_0"]["kernel"], before, before)
        near += norm(convolved, params[f"{name}_1"], stats[f"{name}_1"])
    padded = np.pad(x, ((0, 0), (0, -height % size), (0, -width % size), (0, 0)), "reflect")
    attended = np.zeros(padded.shape)
    for top in range(0, padded.shape[1], size):
        for left in range(0, padded.shape[2], size):
            pixels = padded[0, top : top + size, left : left + size].reshape(-1, channels)
            qkv = (pixels @ params["qkv_0"]["kernel"][0, 0]).reshape(
                -1, 3, heads, channels // heads
            )
            for head in range(heads):
                query, key, value = (qkv[:, part, head] for part in range(3))
                logits = query @ key.T / np.sqrt(channels // heads)
                for one in range(size * size):
                    for other in range(size * size):
                        row = one // size - other // size + size - 1
                        column = one % size - other % size + size - 1
                        index = row * (2 * size - 1) + column
                        logits[one, other] += params["relative_position_bias_table"][index, head]
                weights = np.exp(logits - logits.max(-1, keepdims=True))
                weights /= weights.sum(-1, keepdims=True)
                block = (weights @ value).reshape(size, size, -1)
                channel = slice(head * channels // heads, (head + 1) * channels // heads)
                attended[0, top : top + size, left : left + size, channel] = block
    attended = attended[:, :height, :width]
    # A window of four pixels from one before; at the end one more is reflected, the rest is zero.
    averaged = np.zeros(attended.shape)
    for axis in (1, 2):
        widths = [(0, 0)] * 4
        widths[axis] = (0, 1)
        longer = np.pad(attended, widths, "reflect")
        widths[axis] = (1, 1)
        longer = np.pad(longer, widths)
        for offset in range(size):
            averaged += np.take(longer, range(offset, offset + x.shape[axis]), axis) / size
    h = np.pad(averaged + near, ((0, 0), (0, 1), (0, 1), (0, 0)), "reflect")
    h = convolve(h, params["proj_0"]["kernel"], 1, 1, depthwise=True)
    expected = norm(h, params["proj_1"], stats["proj_1"]) @ params["proj_2"]["kernel"][0, 0]

    actual = layer.apply(variables, x, local)
    assert actual.shape == x.shape
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
