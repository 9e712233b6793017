"""What is compared with what on the sum regressor (20-20-10-1, Adam 1e-3, 10,000 examples).

Each function takes a `turns.Bench` and returns a record (`report.make_record`). The bars are those
of this project.
"""

from peers.report import Bar, make_record
from peers.turns import Peer

FIT = "sum_in_keras:make_fit"
EPOCHS_ARE = (
    "µs per step of whole epochs, from epoch begin to epoch end, permutation and logged mean of "
    "the loss included; 'whole call' is the `fit` call, divided by all its steps."
)


def measure_arrays(bench):
    """Batch size 1 from arrays, a fresh permutation an epoch: kerasmodes, Keras, JAX, PyTorch."""
    size = {"num_samples": 1_000 if bench.quick else 10_000}
    slow = {**size, "epochs": 1}
    scan, steps = "sum_in_jax:make_scan", "sum_in_jax:make_steps"
    flagged = "jax with the flag"
    peers = [
        Peer("stock fit", "keras", FIT, {**size, "epochs": 2}),
        Peer("stock, 100 steps an execution", "keras", FIT, {**size, "steps_per_execution": 100}),
        Peer("kerasmodes graph", "kerasmodes", FIT, {"mode": "graph", **size, "epochs": 2}),
        Peer("kerasmodes xla", "kerasmodes", FIT, {"mode": "xla", **size, "epochs": 2}),
        Peer("kerasmodes fused", "kerasmodes", FIT, {"mode": "fused", **size}),
        Peer("JAX scan", "jax", scan, size),
        Peer("JAX scan, 4 steps unrolled", "jax", scan, {**size, "unroll": 4}),
        Peer("JAX scan, same XLA flag", flagged, scan, size),
        Peer("JAX scan, unrolled, same flag", flagged, scan, {**size, "unroll": 4}),
        Peer("JAX jit per step", "jax", steps, slow),
        Peer("torch eager", "torch", "sum_in_torch:make_fit", {**slow, "how": "eager"}),
        Peer("torch fused Adam", "torch", "sum_in_torch:make_fit", {**slow, "how": "fused Adam"}),
        Peer("torch.compile", "torch", "sum_in_torch:make_fit", {**slow, "how": "compiled"}),
        Peer("plain C", "c", "sum_in_c:make_fit", size),
    ]
    bars = [
        Bar("kerasmodes fused", "JAX scan", at_most=1.0, target=0.5),
        Bar("kerasmodes fused", "JAX scan, same XLA flag"),
        Bar("kerasmodes fused", "JAX scan, unrolled, same flag"),
        Bar("kerasmodes fused", "stock fit", times_faster=60),
    ]
    results = bench.take_turns("arrays", peers, 2 if bench.quick else 7)
    return make_record(
        "Epochs from arrays, batch size 1", "µs per step", results, bars, [EPOCHS_ARE]
    )


def measure_datasets(bench):
    """The same from a user's `tf.data.Dataset`: shuffled or not, batches of 1 and 32."""
    kinds = {
        "shuffled dataset, batch 1": {"source": "shuffled dataset", "batch_size": 1},
        "dataset in order, batch 1": {"source": "dataset", "batch_size": 1},
        "shuffled dataset, batch 32": {"source": "shuffled dataset", "batch_size": 32},
    }
    peers, bars = [], []
    for kind, arguments in kinds.items():
        size = {"num_samples": 2_000 if bench.quick else 10_000, **arguments}
        stock, fused = f"stock fit: {kind}", f"kerasmodes fused: {kind}"
        peers.append(Peer(stock, "keras", FIT, {**size, "epochs": 2}))
        peers.append(Peer(fused, "kerasmodes", FIT, {"mode": "fused", **size}))
        # Larger batches are bound by the data set itself, which stacks example by example.
        bars.append(Bar(fused, stock, times_faster=20 if size["batch_size"] == 1 else None))
    results = bench.take_turns("datasets", peers, 2 if bench.quick else 7)
    title = "Epochs from a tf.data.Dataset"
    return make_record(title, "µs per step", results, bars, [EPOCHS_ARE])


def measure_epochs(bench):
    """The share of a fit from data sets that is lost between epochs, while the cores are idle."""
    kinds = ("finite", "repeated", "finite, with validation")
    peers, bars = [], []
    for kind in kinds:
        stock = f"stock fit: {kind}"
        for name, mode, num_samples in (
            ("stock fit", None, 2_000),
            ("kerasmodes graph", "graph", 2_000),
            ("kerasmodes fused", "fused", 50_000),
        ):
            arguments = {"mode": mode, "kind": kind, "num_samples": num_samples}
            arguments["epochs"] = 3 if bench.quick else 6
            environment = "keras" if mode is None else "kerasmodes"
            peer = f"{name}: {kind}"
            peers.append(Peer(peer, environment, "sum_in_keras:make_epochs", arguments))
            if mode:
                bars.append(Bar(peer, stock, value_at_most=1.0))
    results = bench.take_turns("epochs", peers, 2 if bench.quick else 5)
    notes = [
        "A shuffled `tf.data.Dataset` with a parallel map and `AUTOTUNE`, batches of 1, epochs of "
        "at least half a second. Idle is the wall time less the processor time of all threads, "
        "from each last step of an epoch or of a validation to the next first one."
    ]
    return make_record("Time lost between epochs", "% of the fit", results, bars, notes)


def measure_eager(bench):
    """Eager execution, with breakpoints anywhere, against Keras's `run_eagerly=True`."""
    size = {"num_samples": 100 if bench.quick else 300, "epochs": 1}
    peers = [
        Peer("stock, run_eagerly=True", "keras", FIT, {**size, "run_eagerly": True}),
        Peer("kerasmodes eager", "kerasmodes", FIT, {"mode": "eager", **size}),
    ]
    bars = [Bar("kerasmodes eager", "stock, run_eagerly=True", at_most=0.3)]
    results = bench.take_turns("eager", peers, 2 if bench.quick else 7)
    return make_record("Eager epochs from arrays, batch size 1", "µs per step", results, bars)


def measure_graph(bench):
    """Graph against stock `fit`, with 1, 32 and no given steps an execution; the other methods.

    The differences are small, so there are many short repeats, stock and graph one after the other.
    """
    size = {"num_samples": 500 if bench.quick else 1_000, "epochs": 1}
    peers, bars = [], []
    for steps in (1, 32):
        stock, own = (f"{name}, {steps} a call" for name in ("stock fit", "graph fit"))
        how = {**size, "steps_per_execution": steps}
        peers.append(Peer(stock, "keras", FIT, how))
        peers.append(Peer(own, "kerasmodes", FIT, {"mode": "graph", **how}))
        bars.append(Bar(own, stock, at_most=1.0))
    joined = "graph fit, steps joined"
    peers.append(Peer(joined, "kerasmodes", FIT, {"mode": "graph", **size}))
    bars.append(Bar(joined, "stock fit, 1 a call", at_most=0.5))
    for method in ("evaluate", "predict"):
        stock = f"stock {method}"
        for mode in (None, "graph", "fused"):
            name = stock if mode is None else f"{mode} {method}"
            environment = "keras" if mode is None else "kerasmodes"
            arguments = {"method": method, "mode": mode}
            peers.append(Peer(name, environment, "sum_in_keras:make_inference", arguments))
            if mode is not None:
                bars.append(Bar(name, stock, at_most=1.0))
    results = bench.take_turns("graph", peers, 4 if bench.quick else 40)
    notes = [
        "`fit`: batches of 1 from arrays, µs per step; `evaluate` and `predict`: 10,000 examples "
        "in batches of 32, µs per batch of the whole call. In brackets the quartiles of the "
        "repeats' ratios."
    ]
    return make_record("Graph mode against stock Keras", "µs per step", results, bars, notes)


def measure_start(bench):
    """Fresh processes: seconds of `compile` and the first `fit`."""
    ways = {
        "stock": ("keras", {}),
        "stock, jit_compile=True": ("keras", {"jit_compile": True}),
        **{mode: ("kerasmodes", {"mode": mode}) for mode in ("graph", "xla", "fused", "eager")},
    }
    references = {"graph": "stock", "eager": "stock", "xla": "stock, jit_compile=True"}
    peers, bars = [], []
    for num_samples, what in ((1, "1 step"), (1_000, "1,000 steps")):
        for way, (environment, arguments) in ways.items():
            if num_samples > 1 and way == "eager":
                continue
            arguments = {**arguments, "num_samples": num_samples}
            make = "sum_in_keras:make_first_fit"
            peers.append(Peer(f"{way}: {what}", environment, make, arguments, fresh=True))
            if way in references:
                reference = f"{references[way]}: {what}"
                bars.append(Bar(f"{way}: {what}", reference, at_most=1.2))
        fused = f"fused: {what}"
        bars.append(Bar(fused, f"stock, jit_compile=True: {what}", at_most=1.2))
        bars.append(Bar(fused, f"stock: {what}"))
    results = bench.take_turns("start", peers, 1 if bench.quick else 5)
    notes = [
        "Each in a fresh process, imports not counted. Fused needs one XLA compilation, as stock "
        "Keras with jit_compile=True does: its bar is that one."
    ]
    return make_record("compile() and the first fit", "s", results, bars, notes)
