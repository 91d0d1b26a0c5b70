"""The definition of the selective scan, without any haste."""

import numpy as np


def sequential(x, delta, a, b, c, d):
    """The definition, a position after another, in float64."""
    batch, length, _ = x.shape
    state = np.zeros((batch, *a.shape))
    y = np.zeros(x.shape)
    for t in range(length):
        factor = np.exp(delta[:, t, :, None] * a)
        state = factor * state + delta[:, t, :, None] * b[:, t, None, :] * x[:, t, :, None]
        y[:, t] = (state * c[:, t, None, :]).sum(-1) + d * x[:, t]
    return y
