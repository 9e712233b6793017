"""`kerasmodes compare`: the modes side by side on one of the models."""

import jsonargparse

import kerasmodes as km
from kerasmodes.cli import declared
from kerasmodes.cli.compile_flags import MODE_ARGUMENTS, add_compile_arguments
from kerasmodes.cli.flags import (
    Command,
    add_arguments,
    add_data_argument,
    add_dtype_argument,
    pick,
    read_images,
)
from kerasmodes.cli.gan_flags import add_gan_arguments, make_gan, make_preset

# The library's 300 steps of each mode would take the tutorial's GAN an hour on a CPU.
COMPARE_GAN_DEFAULTS = {"steps": 4, "repeats": 1}


def compare_sum(parser: jsonargparse.ArgumentParser) -> Command:
    """Compare the modes on the sum regressor."""
    model_flags = add_arguments(parser, "model", declared.km.SumRegressor)
    add_dtype_argument(parser)
    data_flags = add_arguments(parser, "data", declared.km.data.sums)
    read_compile = add_compile_arguments(parser, declared.km.SumRegressor, skip=MODE_ARGUMENTS)
    comparison_flags = _add_comparing_arguments(parser)

    def run(flags: jsonargparse.Namespace) -> None:
        km.compare_modes(
            lambda: km.SumRegressor(**pick(flags, model_flags), dtype=flags.dtype),
            km.data.sums(**pick(flags, data_flags)),
            **pick(flags, comparison_flags),
            **read_compile(flags),
        )

    return run


def compare_msggan(parser: jsonargparse.ArgumentParser) -> Command:
    """Compare the modes on MSGGAN."""
    add_gan_arguments(parser)
    add_data_argument(parser)
    data_flags = add_arguments(
        parser, "data", declared.km.data.images, skip={"name", "with_labels", "batch_size"}
    )
    read_compile = add_compile_arguments(parser, declared.km.MSGGAN, skip=MODE_ARGUMENTS)
    comparison_flags = _add_comparing_arguments(parser)
    parser.set_defaults(COMPARE_GAN_DEFAULTS)

    def run(flags: jsonargparse.Namespace) -> None:
        km.compare_modes(
            lambda: make_gan(flags),
            read_images(
                flags.data,
                **pick(flags, data_flags),
                with_labels=flags.num_classes is not None,
                batch_size=flags.batch_size,
            ),
            **pick(flags, comparison_flags),
            **read_compile(flags, make_preset(flags)),
        )

    return run


def _add_comparing_arguments(parser: jsonargparse.ArgumentParser) -> Command:
    skip = {"build_model", "data", "compile_arguments"}
    return add_arguments(parser, "comparison", declared.km.compare_modes, skip=skip)
