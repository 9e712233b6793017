"""What XLA has to be told before it starts, once a process. How a step is compiled is not here."""

import os

# XLA:CPU runs a loop kernel by kernel, at about 50 nanoseconds each, unless one round touches less
# memory than this: then the loop becomes one function, 2 to 8 times faster for small steps. Its
# matrix products are plain loops in there, slower than Eigen's from about twice this size on.
SMALL_LOOP_BYTES = 128 * 1024
OPTION = "xla_cpu_small_while_loop_byte_threshold"
FLAG = "--xla_backend_extra_options="


def ask_for_whole_loops():
    """Sets XLA's option for small loops in `XLA_FLAGS`, unless the user has set it already.

    XLA reads that variable when it first compiles; what it compiled before keeps its speed.
    """
    flags = os.environ.get("XLA_FLAGS", "").split()
    if any(OPTION in flag for flag in flags):
        return
    extra = next((flag for flag in flags if flag.startswith(FLAG)), None)
    others = [flag for flag in flags if flag != extra]
    options = f"{extra or FLAG}{',' if extra else ''}{OPTION}={SMALL_LOOP_BYTES}"
    os.environ["XLA_FLAGS"] = " ".join([*others, options])
