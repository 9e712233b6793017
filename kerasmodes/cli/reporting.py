"""`kerasmodes report`: a run as one page of HTML and as a model card.

What they show is in `kerasmodes/reporting`.
"""

import pathlib

import jsonargparse

import kerasmodes
from kerasmodes import arguments
from kerasmodes.cli import run_folders
from kerasmodes.cli.flags import Command, console

PAGE, CARD = "report.html", "README.md"


def report(parser: jsonargparse.ArgumentParser) -> Command:
    """Write a run's page, report.html, and its model card."""
    parser.add_argument("run", type=str, help="Folder of a run of `kerasmodes train`.")

    def run(flags: jsonargparse.Namespace) -> None:
        from kerasmodes import reporting

        folder = pathlib.Path(flags.run)
        # A link that leads out of the folder is not followed.
        files = reporting.RunFiles(folder)
        arguments.check_folder("run", folder)
        arguments.check_places("run", folder, (PAGE, CARD))
        config = run_folders.read_config(flags.run) if files.has(run_folders.CONFIG) else {}
        found = reporting.read_run(folder, config)
        reporting.write_page(found, folder / PAGE, kerasmodes.__version__)
        console.print(f"Written: {folder / PAGE}")
        if reporting.write_model_card(found, folder / CARD):
            console.print(f"Written: {folder / CARD}")
        else:
            console.print(f"Left as it is: {folder / CARD}, which was changed by hand")

    return run
