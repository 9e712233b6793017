import pathlib

import setuptools
from setuptools.command import sdist

FOLDERS = ("scripts", "tests")


class SourceDistribution(sdist.sdist):
    """With the tests and what they read. Otherwise only `test_*.py` would be there."""

    def make_distribution(self):
        paths = [path for folder in FOLDERS for path in pathlib.Path(folder).rglob("*")]
        files = [path for path in paths if path.is_file() and path.suffix != ".pyc"]
        self.filelist.extend(map(str, [*files, "CHANGELOG.md"]))
        super().make_distribution()


setuptools.setup(cmdclass={"sdist": SourceDistribution})
