"""`kerasmodes verify`: whether the numbers of a model of yours are the same in every way."""

import os
import sys

import jsonargparse

import kerasmodes as km
from kerasmodes.cli import declared, kinds
from kerasmodes.cli.flags import Command, add_arguments, add_flag, console, pick

ARGUMENTS_OF_COMPILE = ("optimizer", "loss", "metrics")


def verify(parser: jsonargparse.ArgumentParser) -> Command:
    """Check that a model of yours has the same numbers in every way."""
    parser.add_argument("build_model", help="Function that returns a new model: module:function.")
    words = "Function that returns (x, y) or a data set. Required."
    add_flag(parser, "data", "data", kinds.FUNCTION, help=words, required=True)
    skip = {"build_model", "data", "compile_arguments"}
    flags_of_verify = add_arguments(parser, "verification", declared.km.verify, skip=skip)
    for name in ARGUMENTS_OF_COMPILE:
        words = "For a model that is not compiled."
        kind = kinds.LIST if name == "metrics" else kinds.NAME
        add_flag(parser, "compile", name, kind, help=words)
    add_flag(parser, "verification", "path", kinds.PATH, help="JSON file for the report.")

    def run(flags: jsonargparse.Namespace) -> None:
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        given = {name: flags[name] for name in ARGUMENTS_OF_COMPILE if flags[name] is not None}
        recipes = km.verifying.recipes
        report = km.verify(
            recipes.find_function(flags.build_model),
            recipes.find_function(flags.data, "data")(),
            **pick(flags, flags_of_verify),
            **given,
        )
        console.print(report, markup=True)
        if flags.path is not None:
            report.save(flags.path)
            console.print(f"Written: {flags.path}")
        if not report.ok:
            raise ValueError("the numbers are not the same in every way: see the table")

    return run
