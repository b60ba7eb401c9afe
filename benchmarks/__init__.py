"""Measurements, side by side with stock dbt on the machine at hand: ``python -m benchmarks.exactness`` and ``.folding``."""
