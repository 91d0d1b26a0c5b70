"""Problems with a linear network, so that the result of a step can be computed by hand."""

import jax.numpy as jnp
import numpy as np

from noise2map_jax.experiment.problem import Problem
from noise2map_jax.method.tasks import get_task


class Linear:
    """A network that multiplies each pixel by the backbone's matrix, then by the task's."""

    def __init__(self):
        self.seen = []

    def apply(self, variables, x, timesteps, *, task, use_timestep, training=None, mutable=()):
        self.seen.append((x, timesteps, use_timestep))
        params = variables["params"]
        outputs = x @ params["unet"]["kernel"] @ params[f"{task}_output_conv"]["kernel"]
        return (outputs, {}) if mutable else outputs  # as Flax; it has no statistics


def linear_problem(task="ss", prediction_type="epsilon", **fields):
    """Return a problem in which sensor values 0 and 2 are -1 and 1, and classes weigh 1 and 3."""
    fields = {"class_weights": (1.0, 3.0)} | fields
    return Problem(Linear(), get_task(task, prediction_type), (0.0, 2.0), **fields)


def linear_params(**heads):
    """Return parameters: a backbone that doubles its two channels, and the matrices of tasks."""
    heads = heads or {"ss": [[1.0, -1.0], [0.5, 0.25]]}
    return {"unet": {"kernel": 2 * jnp.eye(2)}} | {
        f"{task}_output_conv": {"kernel": jnp.asarray(kernel)} for task, kernel in heads.items()
    }


def pixels(values, labels):
    """Return a batch of images of one pixel: values [B, 2] in {0, 1, 2}, labels [B]."""
    return {
        "image": np.asarray(values, np.uint8)[:, None, None],
        "mask": np.asarray(labels, np.uint8)[:, None, None, None],
    }


def cross_entropy_by_hand(values, labels, backbone, head, weights=(1.0, 3.0)):
    """Return numerator, denominator and gradients of the numerator, in float64, as PyTorch does."""
    x = np.asarray(values, np.float64) - 1
    keep = np.asarray(labels) != 255
    x, y = x[keep], np.asarray(labels)[keep]
    backbone, head = np.asarray(backbone, np.float64), np.asarray(head, np.float64)
    logits = x @ backbone @ head
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    w = np.asarray(weights)[y]
    total = -(w * np.log(probabilities[np.arange(len(y)), y])).sum()
    slope = w[:, None] * (probabilities - np.eye(2)[y])
    gradients = x.T @ slope @ head.T, (x @ backbone).T @ slope
    return total, w.sum(), gradients
