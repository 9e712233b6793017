"""What `scripts/benchmark_engine.py` measures: kerasmodes and its peers, one module a task.

How they take turns is in `turns.py`, what is compared with what in `sections.py` and
`larger_sections.py`, what is printed and written in `report.py` and `scaling_figure.py`.
"""
