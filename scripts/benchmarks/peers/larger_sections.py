"""Sections beyond the small regressor: memory, dropout and MSGGAN; scaling is in `scaling.py`.

Each function takes a `turns.Bench` and returns a record (`report.make_record`).
"""

from peers.report import Bar, make_record
from peers.turns import Peer

SUPER_BATCH_MEGABYTES = 64
BATCH_MEGABYTES = 8
# (compiled, shared_backward) of `msggan_in_torch.make_step`
TORCH_WAYS = ((False, False), (True, False), (False, True), (True, True))


def measure_memory(bench):
    """Peak memory of an epoch of large batches, in fresh processes: fused against graph."""
    few = 24 if bench.quick else 60
    many = f"fused, {3 * few} batches"
    runs = {"graph": ("graph", few), "fused": ("fused", few), many: ("fused", 3 * few)}
    peers = [
        Peer(
            name,
            "kerasmodes",
            "sum_in_keras:make_memory",
            {"mode": mode, "batch_megabytes": BATCH_MEGABYTES, "num_batches": num_batches},
            fresh=True,
        )
        for name, (mode, num_batches) in runs.items()
    ]
    bars = [
        Bar("fused", "graph", more_at_most=7 * SUPER_BATCH_MEGABYTES),
        Bar(many, "fused", more_at_most=2 * SUPER_BATCH_MEGABYTES),
    ]
    results = bench.take_turns("memory", peers, 1 if bench.quick else 3)
    notes = [
        f"Growth of the resident memory in one epoch of {few} batches of {BATCH_MEGABYTES} MB. "
        f"A super-batch holds at most {SUPER_BATCH_MEGABYTES} MB; the bar allows seven: the one "
        "that runs, XLA's copy of it, one that waits, the batches of the next, and their stack."
    ]
    return make_record("Peak memory", "MB", results, bars, notes)


def measure_dropout(bench):
    """`km.random.Dropout` against `keras.layers.Dropout`, forward and backward in a function."""
    peers, bars = [], []
    for shape in ((64, 128), (64, 7, 7, 128), (64, 14, 14, 128)):
        names = {}
        for library in ("keras.layers", "km.random"):
            names[library] = f"{library}.Dropout {'×'.join(map(str, shape))}"
            arguments = {"library": library, "shape": shape}
            peers.append(Peer(names[library], "kerasmodes", "dropout:make", arguments))
        bars.append(Bar(names["km.random"], names["keras.layers"], at_most=1.5))
    results = bench.take_turns("dropout", peers, 4 if bench.quick else 20)
    return make_record("Dropout, forward and backward", "µs", results, bars)


def measure_msggan(bench):
    """MSGGAN, batches of 64, through `fit`, against PyTorch; and its convolutions alone."""
    steps = {"num_steps": 2 if bench.quick else 6}
    peers, bars = [], []
    for precision, policy in (("float32", "float32"), ("bfloat16", "mixed_bfloat16")):
        own = f"kerasmodes graph, {precision}"
        arguments = {"policy": policy, **steps}
        peers.append(Peer(own, "kerasmodes", "msggan_keras:make_fit", arguments))
        rivals = [_make_torch_peer(precision, *way, steps) for way in TORCH_WAYS]
        peers += rivals
        alone = f"its convolutions alone, {precision}"
        arguments = {"policy": policy}
        peers.append(Peer(alone, "kerasmodes", "msggan_keras:make_convolutions", arguments))
        bars.append(Bar(own, tuple(peer.name for peer in rivals), at_most=0.9, target=0.8))
        bars.append(Bar(own, alone))
    results = bench.take_turns("msggan", peers, 2 if bench.quick else 7)
    notes = [
        f"{name}, ms a step (forward and both gradients; the discriminator's twice): "
        + ", ".join(f"{layer} {ms:.0f}" for layer, ms in runs[-1]["layers"].items())
        + "."
        for name, runs in results.items()
        if "layers" in runs[-1]
    ]
    return make_record("MSGGAN, batches of 64", "ms per step", results, bars, notes)


def _make_torch_peer(precision, compiled, shared_backward, steps):
    name = f"torch {'compiled' if compiled else 'eager'}, {precision}"
    if shared_backward:
        name += ", one pass back for both losses"
    arguments = {"precision": precision, "compiled": compiled, **steps}
    arguments["shared_backward"] = shared_backward
    return Peer(name, "torch", "msggan_torch:make_steps", arguments)
