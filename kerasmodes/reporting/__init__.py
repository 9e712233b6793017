"""A run's folder made readable: one page of HTML, and a model card for Hugging Face.

Nothing here trains or evaluates: it shows what the files of the run say, and reads no others.
"""

from kerasmodes.reporting.model_card import write_model_card
from kerasmodes.reporting.page import write_page
from kerasmodes.reporting.run import Run, read_run
from kerasmodes.reporting.run_files import RunFiles

__all__ = ["Run", "RunFiles", "read_run", "write_model_card", "write_page"]
