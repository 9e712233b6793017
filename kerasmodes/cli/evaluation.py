"""`kerasmodes evaluate`: a trained GAN's images against real ones, as a table and a file."""

import json
import pathlib

import jsonargparse

import kerasmodes as km
from kerasmodes import arguments, atomic_files
from kerasmodes.cli import declared, kinds, runs
from kerasmodes.cli.flags import Command, add_arguments, add_flag, console, pick

RESULTS = "evaluation.json"


def evaluate(parser: jsonargparse.ArgumentParser) -> Command:
    """Compare the images of a trained GAN with real ones.

    The table is written to evaluation.json in the folder of the run, too.
    """
    runs.add_run_argument(parser)
    runs.add_images_arguments(parser)
    add_flag(parser, "data", "split", kinds.NAME, "test", "The split for km.data.images.")
    skip = {"images", "network", "every"}
    metrics = declared.km.callbacks.GenerationMetrics
    metric_flags = add_arguments(parser, "metrics", metrics, skip=skip)
    # After a run there is time for all of them.
    parser.set_defaults(metrics=declared.km.metrics.image_evaluator.METRICS)

    def run(flags: jsonargparse.Namespace) -> None:
        import numpy as np

        if flags.cache_dir is not None:
            arguments.check_folder("cache_dir", flags.cache_dir)
        gan = runs.load_gan(flags.run)
        arguments.check_folder("run", flags.run)
        arguments.check_places("run", flags.run, (RESULTS,))
        images = runs.load_images(flags, flags.split, gan.image_shape)
        evaluator = km.callbacks.GenerationMetrics(
            images, **pick(flags, metric_flags)
        ).make_evaluator()
        # A linear output may leave the range; the pixels of a picture cannot.
        generated = np.clip(gan.generate(flags.num_images, seed=flags.seed)[-1], -1, 1)
        evaluation = {
            "data": runs.find_data_name(flags),
            "split": flags.split,
            "num_real": len(images),
            "num_images": flags.num_images,
            "num_equal": evaluator.num_equal,
            "seed": flags.seed,
            "results": evaluator.results(generated),
            "baselines": evaluator.baselines(),
        }
        if evaluation["data"].startswith(runs.SET_OF_CLASSES):
            evaluation["class_shares"] = {
                "generated": _measure_class_shares(generated),
                "real": _measure_class_shares(images),
            }
        elif evaluation["data"] == runs.COLOUR_SHAPES:
            real, _ = km.data.colour_shapes(flags.num_images, flags.seed)
            evaluation["factor_coverage"] = {
                "generated": _measure_factor_coverage(generated),
                "real": _measure_factor_coverage(real),
            }
        path = pathlib.Path(flags.run) / RESULTS
        with atomic_files.atomic_write(path) as temporary:
            temporary.write_text(json.dumps(evaluation, indent=2) + "\n")
        _print_metrics(evaluation)
        console.print(f"Written: {path}")

    return run


def _measure_class_shares(images):
    """Returns the share of each class among the images, by the feature network, a dict."""
    import numpy as np

    network, names = km.metrics.feature_network(with_classes=True), km.data.fashion_mnist.CLASSES
    size = km.metrics.image_evaluator.BATCH_SIZE
    counts = sum(
        np.bincount(
            np.argmax(network(images[start : start + size], training=False)[1], axis=1),
            minlength=len(names),
        )
        for start in range(0, len(images), size)
    )
    return dict(zip(names, (counts / len(images)).tolist(), strict=True))


def _measure_factor_coverage(images):
    factors = km.data.read_colour_shapes(images)
    return km.metrics.factor_coverage(factors, km.data.shapes.NUM_VALUES)


def _print_metrics(evaluation):
    import rich.table

    num_images, num_real = evaluation["num_images"], evaluation["num_real"]
    num_equal = evaluation["num_equal"]
    table = rich.table.Table(title=f"Generated against {evaluation['data']} {evaluation['split']}")
    table.add_column("metric")
    for name in ("images", "result", "baseline"):
        table.add_column(name, justify="right")
    for name, result in evaluation["results"].items():
        sizes = (num_images, num_real) if name == "frechet" else (num_equal, num_equal)
        numbers = (f"{number:.4g}" for number in (result, evaluation["baselines"][name]))
        table.add_row(name, f"{sizes[0]:,} / {sizes[1]:,}", *numbers)
    console.print(table)
    console.print(
        "images: generated / real. baseline: one half of the real ones against the other."
    )
    if "class_shares" in evaluation:
        title = "Share of the images in each class, by the feature network"
        _print_shares(title, "class", evaluation["class_shares"])
    if "factor_coverage" in evaluation:
        title = f"Factors of {num_images:,} images on each side"
        _print_shares(title, "share", evaluation["factor_coverage"])


def _print_shares(title, heading, shares):
    import rich.table

    table = rich.table.Table(title=title)
    table.add_column(heading)
    for name in shares:
        table.add_column(name, justify="right")
    for name in shares["real"]:
        table.add_row(name, *(f"{side[name]:.1%}" for side in shares.values()))
    console.print(table)
