"""The PyTorch twin of MSGGAN (`msggan_in_torch.py`, in the folder above) as a peer."""

import time

import msggan_in_torch
import torch

BATCH_SIZE = msggan_in_torch.BATCH_SIZE


def make_steps(precision, compiled, shared_backward, num_steps):
    """Returns a function that trains for an epoch of `num_steps` batches, shuffled as by `fit`.

    Args:
        precision: `"float32"` or `"bfloat16"`.
        compiled: Whether the networks go through `torch.compile`.
        shared_backward: As in `msggan_in_torch.make_step`.
        num_steps: Steps of one run.
    """
    step = msggan_in_torch.make_step(precision, compiled, shared_backward)
    images = torch.rand(num_steps * BATCH_SIZE, 1, 28, 28) * 2 - 1
    images = images.to(memory_format=torch.channels_last)

    def run():
        start = time.perf_counter()
        means = torch.zeros(4)
        for rows in torch.randperm(len(images)).split(BATCH_SIZE):
            means += step(images[rows].contiguous(memory_format=torch.channels_last))
        (means / num_steps).tolist()
        return {"samples": [1e3 * (time.perf_counter() - start) / num_steps]}

    for _ in range(2):
        step(images[:BATCH_SIZE])
    return run
