"""What XLA has to be told before it starts, once a process. How a step is compiled is not here."""

import os

FLAG = "--xla_backend_extra_options="
OPTIONS = {
    # XLA:CPU runs a loop kernel by kernel, at about 50 nanoseconds each, unless one round touches
    # less memory than this, in bytes: then the loop becomes one function, 2 to 8 times faster for
    # small steps. Its matrix products are plain loops, slower than Eigen's for larger ones.
    "xla_cpu_small_while_loop_byte_threshold": "131072",
    # Loops over a few dozen numbers, such as an optimizer's over a small kernel, were unrolled into
    # scalar code before they could be vectorised: 1.9 against 1.1 microseconds for a small network.
    "xla_cpu_disable_loop_unrolling": "",
}


def ask_for_whole_loops():
    """Adds the options for small loops to `XLA_FLAGS`, but for those that the user has set.

    XLA reads that variable when it first compiles; what it compiled before keeps its speed.
    """
    flags = os.environ.get("XLA_FLAGS", "").split()
    extra = next((flag for flag in flags if flag.startswith(FLAG)), FLAG)
    own = [
        f"{name}={value}" if value else name for name, value in OPTIONS.items() if name not in extra
    ]
    options = ",".join(filter(None, [extra.removeprefix(FLAG), *own]))
    os.environ["XLA_FLAGS"] = " ".join([*(f for f in flags if f != extra), FLAG + options])
