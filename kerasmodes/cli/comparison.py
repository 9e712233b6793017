"""`kerasmodes compare`: the modes side by side on one of the models."""

from kerasmodes import comparing, data, models
from kerasmodes.cli.flags import MODE_ARGUMENTS, add_data_argument, add_gan_arguments, pick

# The library's 300 steps of each mode would keep the tutorial's GAN busy for an hour on a CPU.
COMPARE_GAN_DEFAULTS = {"steps": 4, "repeats": 1}


def compare_sum(parser):
    """Compare the modes on the sum regressor."""
    of_model = parser.add_class_arguments(models.SumRegressor)
    of_data = parser.add_function_arguments(data.sums)
    of_compile = parser.add_method_arguments(models.SumRegressor, "compile", skip=MODE_ARGUMENTS)
    of_comparing = _add_comparing_arguments(parser)

    def run(flags):
        comparing.compare_modes(
            lambda: models.SumRegressor(**pick(flags, of_model)),
            data.sums(**pick(flags, of_data)),
            **pick(flags, of_comparing),
            **pick(flags, of_compile),
        )

    return run


def compare_msggan(parser):
    """Compare the modes on MSGGAN."""
    make_gan = add_gan_arguments(parser)
    add_data_argument(parser)
    of_data = parser.add_function_arguments(data.images, skip={"name", "with_labels", "batch_size"})
    of_compile = parser.add_method_arguments(models.MSGGAN, "compile", skip=MODE_ARGUMENTS)
    of_comparing = _add_comparing_arguments(parser)
    parser.set_defaults(COMPARE_GAN_DEFAULTS)

    def run(flags):
        comparing.compare_modes(
            lambda: make_gan(flags),
            data.images(
                flags.data,
                **pick(flags, of_data),
                with_labels=flags.num_classes is not None,
                batch_size=flags.batch_size,
            ),
            **pick(flags, of_comparing),
            **pick(flags, of_compile),
        )

    return run


def _add_comparing_arguments(parser):
    skip = {"build_model", "data", "compile_arguments"}
    return parser.add_function_arguments(comparing.compare_modes, skip=skip)
