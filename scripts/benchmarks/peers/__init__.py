"""What `benchmark_engine.py` measures: kerasmodes and its peers, one module a task.

`turns.py` runs the peers in turn. `sections.py`, `larger_sections.py` and `scaling.py` say what is
compared with what. `report.py` and `scaling_figure.py` print and write the results.
"""
