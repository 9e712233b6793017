"""The tutorial's MSGGAN training step in PyTorch, as fast as PyTorch runs it.

It has the networks, losses and updates of `MSGGAN.from_preset("tutorial")`: widths, kernels,
strides, batch norm, dropout, both Adam optimizers, gradients of both losses from one forward pass.
Two differences cost no time: PyTorch pads 5x5 kernels of stride 2 by two pixels on each side where
Keras pads by one and two, and the initial weights are PyTorch's own. This file has no training
loop, no data and no measure of quality.

What makes it fast: channels-last memory; fused Adam; gradients computed only where they are needed
(`torch.autograd.grad`, nothing to zero); no gradient for the real images; metrics that stay on the
device; with `shared_backward`, one backward pass through the discriminator for both losses.

This command prints milliseconds per step, the median of `--repeats` rounds in which the variants
take turns. It takes some minutes, most of them in `torch.compile`. On a busy machine PyTorch's
threads wait for each other longer than TensorFlow's do: use an idle machine or `--threads 1`.

    python scripts/benchmarks/msggan_in_torch.py --threads 2
"""

import argparse
import statistics
import time

import torch
from torch import nn
from torch.nn import functional

SLOPE = 0.3
SIZES = (7, 14, 28)
LATENT_DIM = 100
BATCH_SIZE = 64


class Generator(nn.Module):
    """Latents `[batch, latent_dim]` to images of three scales, smallest first."""

    def __init__(self, filters=128):
        super().__init__()
        self.dense = nn.Linear(LATENT_DIM, SIZES[0] ** 2 * 2 * filters)
        self.dense_norm = _make_batch_norm(nn.BatchNorm1d, self.dense.out_features)
        self.enlarging, self.smoothing, self.heads = (nn.ModuleList() for _ in range(3))
        self.norms = nn.ModuleList()
        for scale in range(len(SIZES)):
            width, strides = (2 * filters, 1) if scale == 0 else (filters, 2)
            self.enlarging.append(
                nn.ConvTranspose2d(width, filters, 5, strides, 2, output_padding=strides - 1)
            )
            self.smoothing.append(nn.Conv2d(filters, filters, 5, padding=2))
            self.heads.append(nn.ConvTranspose2d(filters, 1, 5, padding=2))
            self.norms.extend(_make_batch_norm(nn.BatchNorm2d, filters) for _ in range(2))

    def forward(self, latents):
        x = functional.leaky_relu(self.dense_norm(self.dense(latents)), SLOPE)
        x = x.view(len(x), SIZES[0], SIZES[0], -1).permute(0, 3, 1, 2)  # already channels last
        images, norms = [], iter(self.norms)
        for enlarge, smooth, head in zip(self.enlarging, self.smoothing, self.heads, strict=True):
            for convolution in (enlarge, smooth):
                x = functional.leaky_relu(next(norms)(convolution(x)), SLOPE)
            images.append(torch.tanh(head(x).float()))
        return images


class Discriminator(nn.Module):
    """Images of three scales, smallest first, to one logit an example."""

    def __init__(self, filters=64, dropout=0.3):
        super().__init__()
        self.dropout = dropout
        self.blocks = nn.ModuleList()  # from the largest scale to the smallest
        for block in range(len(SIZES)):
            width = filters if block == 0 else 2 * filters
            convolutions = [
                nn.Conv2d(1, filters, 5, 2, padding=2),
                nn.Conv2d(width, 2 * filters, 3, padding=1),
                nn.Conv2d(2 * filters, filters, 5, 2, padding=2),
            ]
            self.blocks.append(nn.ModuleList(convolutions))
        self.logit = nn.Linear(2 * 2 * filters, 1)

    def _activate(self, convolution, x):
        x = functional.leaky_relu(convolution(x), SLOPE, inplace=True)
        return functional.dropout(x, self.dropout)

    def forward(self, images):
        features = None
        for image, (first, middle, last) in zip(images[::-1], self.blocks, strict=True):
            x = self._activate(first, image)
            x = x if features is None else torch.cat([x, features], 1)
            features = self._activate(last, self._activate(middle, x))
        return self.logit(features.flatten(1)).float()


def _make_batch_norm(kind, width):
    return kind(width, eps=1e-3, momentum=0.1)


def make_networks():
    """Returns the generator and the discriminator, channels last."""
    torch.manual_seed(0)
    return [n.to(memory_format=torch.channels_last) for n in (Generator(), Discriminator())]


def make_pyramid(images):
    """Returns the images `[batch, 1, 28, 28]` at every scale, smallest first."""
    smaller = [
        functional.interpolate(images, size=size, mode="bilinear", align_corners=False)
        for size in SIZES[:-1]
    ]
    return [*smaller, images]


def make_step(precision="float32", compiled=False, shared_backward=False):
    """Returns a function that trains on one batch.

    Args:
        precision: `"float32"`, or `"bfloat16"` for autocast.
        compiled: Whether both networks go through `torch.compile`.
        shared_backward: Whether both losses use one forward and one backward pass through the
            discriminator, as in `km.MSGGAN`. The logit of an example depends on that example only,
            so the gradient of the generator's loss at a fake is a multiple of the gradient of the
            discriminator's loss.

    Returns:
        A function of float32 images `[batch, 1, 28, 28]` in [-1, 1] (channels last) that returns a
        tensor of the means of g_loss, d_loss, real and fake accuracy.
    """
    generator, discriminator = make_networks()
    optimizers = [
        torch.optim.Adam(network.parameters(), 1e-3, eps=1e-7, fused=True)
        for network in (generator, discriminator)
    ]
    run_generator, run_discriminator = (
        torch.compile(network) if compiled else network for network in (generator, discriminator)
    )
    compute_gradients = _compute_shared_gradients if shared_backward else _compute_gradients

    def step(images):
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            fakes = run_generator(torch.randn(len(images), LATENT_DIM))
            inputs = [fake.detach().requires_grad_() for fake in fakes]
            reals = make_pyramid(images)
            if shared_backward:
                both = [torch.cat(pair) for pair in zip(reals, inputs, strict=True)]
                real_logits, fake_logits = run_discriminator(both).chunk(2)
            else:
                real_logits, fake_logits = run_discriminator(reals), run_discriminator(inputs)
        g_losses = functional.softplus(-fake_logits)
        d_losses = functional.softplus(-real_logits) + functional.softplus(fake_logits)
        d_parameters = list(discriminator.parameters())
        image_gradients, d_gradients = compute_gradients(
            g_losses, d_losses, fake_logits, inputs, d_parameters
        )
        g_gradients = torch.autograd.grad(fakes, list(generator.parameters()), image_gradients)
        for optimizer, gradients in zip(optimizers, (g_gradients, d_gradients), strict=True):
            for parameter, gradient in zip(
                optimizer.param_groups[0]["params"], gradients, strict=True
            ):
                parameter.grad = gradient
            optimizer.step()
        values = (g_losses, d_losses, (real_logits > 0).float(), (fake_logits < 0).float())
        return torch.stack([value.detach().mean() for value in values])

    return step


def _compute_gradients(g_losses, d_losses, _, inputs, d_parameters):
    """Returns the gradients of `g_losses` at the fakes and of `d_losses` at the parameters."""
    image_gradients = torch.autograd.grad(g_losses.mean(), inputs, retain_graph=True)
    return image_gradients, torch.autograd.grad(d_losses.mean(), d_parameters)


def _compute_shared_gradients(_, d_losses, fake_logits, inputs, d_parameters):
    gradients = torch.autograd.grad(d_losses.mean(), [*inputs, *d_parameters])
    ratios = -torch.exp(-fake_logits.detach().clamp(min=-40)).view(-1, 1, 1, 1)
    return [ratios * one for one in gradients[: len(inputs)]], gradients[len(inputs) :]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5, help="rounds, of 3 steps a variant")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    images = torch.rand(BATCH_SIZE, 1, 28, 28) * 2 - 1
    images = images.to(memory_format=torch.channels_last)
    variants = {
        f"{precision} {'compiled' if compiled else 'eager'}{' shared' * shared}": make_step(
            precision, compiled, shared
        )
        for precision in ("float32", "bfloat16")
        for compiled in (False, True)
        for shared in (False, True)
    }
    times = {name: [] for name in variants}
    for _ in range(1 + arguments.repeats):
        for name, step in variants.items():
            step(images)
            start = time.perf_counter()
            for _ in range(3):
                step(images)
            times[name].append((time.perf_counter() - start) / 3)
    for name, seconds in times.items():
        print(f"{name:28} {1e3 * statistics.median(seconds[1:]):7.1f} ms a step")


if __name__ == "__main__":
    main()
