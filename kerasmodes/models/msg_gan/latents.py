"""Paths through the latents, for animations. What is made of them is the generator's business."""

from typing import Any

import numpy as np


def spherical_path(stops: Any, num_steps: int | None):
    """Returns latents on a closed path through stops, on great circles about the origin.

    Between stops p and q at an angle θ lies `(sin((1 - t) θ) p + sin(t θ) q) / sin θ`, with t from
    0 to 1: White 2016 (arXiv 1609.04468), section 2.1. Straight lines would lead through lengths
    that a normal distribution of many dimensions hardly ever draws. Nearly parallel stops are
    joined by a line.

    Args:
        stops: Float array `[num_stops, ..., latent_dim]`; with more axes, as many paths at once.
        num_steps: Positive int, steps from one stop to the next.

    Returns:
        A float32 array `[num_stops * num_steps, ..., latent_dim]` that starts with the first stop;
        the step after the last leads back to it.

    Raises:
        ValueError: If there is no stop or no step.

    Example:

    ```python
    spherical_path(np.eye(2), num_steps=2)  # [1, 0], [0.7, 0.7], [0, 1], [0.7, 0.7]
    ```
    """
    stops = np.asarray(stops, "float64")
    if stops.ndim < 2 or not len(stops) or num_steps < 1:
        raise ValueError(
            "`stops` must have shape [num_stops, ..., latent_dim], and `num_steps` be positive. "
            f"Received: stops of shape={stops.shape}, num_steps={num_steps!r}"
        )
    nexts = np.roll(stops, -1, axis=0)
    lengths = np.linalg.norm(stops, axis=-1) * np.linalg.norm(nexts, axis=-1)
    cosines = np.sum(stops * nexts, axis=-1) / np.maximum(lengths, 1e-12)
    angles = np.arccos(np.clip(cosines, -1, 1))[..., np.newaxis]
    points = [_between(stops, nexts, angles, step / num_steps) for step in range(num_steps)]
    return np.stack(points, axis=1).reshape(-1, *stops.shape[1:]).astype("float32")


def _between(starts, ends, angles, t):
    sines = np.sin(angles)
    is_line = sines < 1e-6
    sines = np.where(is_line, 1, sines)
    first = np.where(is_line, 1 - t, np.sin((1 - t) * angles) / sines)
    second = np.where(is_line, t, np.sin(t * angles) / sines)
    return first * starts + second * ends
