"""The sum regressor in PyTorch: eager, with the fused Adam, and compiled.

One thread: for so small a network, two threads cost more time than they save.
"""

import time

import torch

from peers import sum_data


def make_fit(how, num_samples=10_000, epochs=1):
    """Returns a function that trains for `epochs`, batch size 1, a fresh permutation each.

    Args:
        how: `"eager"`, `"fused Adam"` or `"compiled"` (forward, backward and update together).
        num_samples: Examples in an epoch.
        epochs: Epochs of one run.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    x, y = map(torch.from_numpy, sum_data.sums(num_samples))
    step = _make_step(how, x.shape[1])

    def run_epoch(count=num_samples):
        start = time.perf_counter()
        order = torch.randperm(num_samples)[:count]
        total = torch.zeros(())
        for batch in zip(x[order].split(1), y[order].split(1), strict=True):
            total += step(*batch)
        float(total / count)
        return time.perf_counter() - start

    def run():
        start = time.perf_counter()
        seconds = [run_epoch() for _ in range(epochs)]
        return sum_data.summarize_times(seconds, num_samples, time.perf_counter() - start)

    run_epoch(min(100, num_samples))
    return run


def _make_step(how, num_features):
    widths = [num_features, *sum_data.UNITS]
    layers = []
    for fan_in, fan_out in zip(widths, widths[1:], strict=False):
        layers += [torch.nn.Linear(fan_in, fan_out), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], 1))
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=how == "fused Adam")

    def step(x, y):
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return torch.compile(step) if how == "compiled" else step
