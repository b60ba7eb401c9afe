"""Measurements, side by side on the machine at hand: ``make bench``, each part also ``python -m benchmarks.<part>``.

Read ``landed`` (the data), ``contenders`` (who does the work) and ``nights`` first; what only parts of the tests' timelines or
single folds are measured by is in ``arena`` and ``child``.
"""
