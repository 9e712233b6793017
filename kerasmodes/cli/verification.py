"""`kerasmodes verify`: whether the numbers of a model of yours are the same in every way."""

import os
import sys

import jsonargparse

from kerasmodes import verifying
from kerasmodes.cli.flags import Command, add_arguments, console, pick
from kerasmodes.verifying import recipes

ARGUMENTS_OF_COMPILE = ("optimizer", "loss", "metrics")


def verify(parser: jsonargparse.ArgumentParser) -> Command:
    """Verify that a model has the same numbers in every mode, on replicas, and after loading."""
    parser.add_argument(
        "build_model",
        help="Function that returns a new Keras model: 'module:function'. Modules of the present "
        "folder are found.",
    )
    parser.add_argument(
        "--data",
        required=True,
        help="Function that returns (x, y), (x, y, sample_weight) or a tf.data.Dataset: "
        "'module:function'.",
    )
    skip = {"build_model", "data", "compile_arguments"}
    flags_of_verify = add_arguments(parser, "verification", verifying.verify, skip=skip)
    group = parser.add_argument_group("compile, of a model that is not compiled")
    for name in ARGUMENTS_OF_COMPILE:
        group.add_argument(f"--{name}", help="As in Keras's `compile`: a name.")
    parser.add_argument("--path", help="JSON file for the report.")

    def run(flags: jsonargparse.Namespace) -> None:
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        given = {name: flags[name] for name in ARGUMENTS_OF_COMPILE if flags[name] is not None}
        if "metrics" in given:
            given["metrics"] = given["metrics"].split(",")
        report = verifying.verify(
            recipes.find_function(flags.build_model),
            recipes.find_function(flags.data)(),
            **pick(flags, flags_of_verify),
            **given,
        )
        console.print(report)
        if flags.path is not None:
            report.save(flags.path)
            console.print(f"Written: {flags.path}", highlight=False)
        if not report.ok:
            raise ValueError("the numbers are not the same in every way: see the table")

    return run
