"""The sum regressor in JAX with optax: a whole shuffled epoch in `lax.scan`, and one step a call.

An epoch does what `fit` does: a fresh permutation, every batch once, Adam, the mean of the loss.
"""

import functools
import math
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from peers import sum_data

OPTIMIZER = optax.adam(1e-3)


def make_scan(epochs=3, unroll=1, shuffle=True, **sizes):
    """Returns a function that trains for `epochs`, each one call of a compiled function."""
    x, y, batch_size, units = _make_data(**sizes)
    num_steps = len(x) // batch_size
    x, y = jnp.asarray(x), jnp.asarray(y)
    state = {"carry": _initialize(x.shape[1], units), "key": jax.random.key(1)}
    epoch = functools.partial(_train_epoch, num_steps=num_steps, unroll=unroll, shuffle=shuffle)

    def run_epoch():
        start = time.perf_counter()
        state["carry"], state["key"], loss = epoch(state["carry"], state["key"], x, y)
        jax.block_until_ready(state["carry"])
        float(loss)
        return time.perf_counter() - start

    def run():
        start = time.perf_counter()
        seconds = [run_epoch() for _ in range(epochs)]
        return sum_data.summarize_times(seconds, num_steps, time.perf_counter() - start)

    run_epoch()
    return run


def make_steps(epochs=1, **sizes):
    """Returns a function that trains for `epochs`, one call of a compiled function a step."""
    x, y, batch_size, units = _make_data(**sizes)
    num_steps = len(x) // batch_size
    random = np.random.default_rng(1)
    step = jax.jit(_train_step, donate_argnums=0)
    state = {"carry": (_initialize(x.shape[1], units), jnp.zeros(()))}

    def run_epoch(count=num_steps):
        start = time.perf_counter()
        order = random.permutation(len(x))[: count * batch_size].reshape(count, batch_size)
        carry = (state["carry"][0], jnp.zeros(()))
        for rows in order:
            carry, _ = step(carry, (x[rows], y[rows]))
        state["carry"] = jax.block_until_ready(carry)
        float(carry[1])
        return time.perf_counter() - start

    def run():
        start = time.perf_counter()
        seconds = [run_epoch() for _ in range(epochs)]
        return sum_data.summarize_times(seconds, num_steps, time.perf_counter() - start)

    run_epoch(min(100, num_steps))
    return run


def _make_data(num_samples=10_000, num_features=20, batch_size=1, units=sum_data.UNITS):
    return *sum_data.sums(num_samples, num_features), batch_size, tuple(units)


def _initialize(num_features, units):
    """Returns the first parameters (Glorot's, as Keras's) and Adam's state."""
    widths = [num_features, *units, 1]
    parameters = []
    for index, (fan_in, fan_out) in enumerate(zip(widths, widths[1:], strict=False)):
        limit = math.sqrt(6 / (fan_in + fan_out))
        key = jax.random.key(index)
        kernel = jax.random.uniform(key, (fan_in, fan_out), minval=-limit, maxval=limit)
        parameters.append((kernel, jnp.zeros(fan_out)))
    return parameters, OPTIMIZER.init(parameters)


def _compute_loss(parameters, x, y):
    *hidden, (kernel, bias) = parameters
    for hidden_kernel, hidden_bias in hidden:
        x = jax.nn.relu(x @ hidden_kernel + hidden_bias)
    return jnp.mean((x @ kernel + bias - y) ** 2)


def _train_step(carry, batch):
    (parameters, moments), total = carry
    loss, gradients = jax.value_and_grad(_compute_loss)(parameters, *batch)
    updates, moments = OPTIMIZER.update(gradients, moments)
    return ((optax.apply_updates(parameters, updates), moments), total + loss), None


@functools.partial(jax.jit, donate_argnums=0, static_argnames=("num_steps", "unroll", "shuffle"))
def _train_epoch(carry, key, x, y, num_steps, unroll, shuffle):
    key, own = jax.random.split(key)
    if shuffle:
        order = jax.random.permutation(own, len(x))
        x, y = x[order], y[order]
    batches = [part.reshape(num_steps, -1, part.shape[1]) for part in (x, y)]
    (carry, total), _ = jax.lax.scan(_train_step, (carry, jnp.zeros(())), batches, unroll=unroll)
    return carry, key, total / num_steps
