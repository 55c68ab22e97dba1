"""Reproducible measurements, such as `python -m benchmarks.layers` and `python -m benchmarks.tables`."""

import os

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # before torch is imported: its profiler logs every start and stop
