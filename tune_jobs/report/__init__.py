"""One page that shows a sweep: HTML that needs no network, its plots as PNG, its numbers as CSV.

data       what is said, read from the sweep's folder once
sizes      GFLOPs and parameters, recorded or measured
axes       what differs between trials, and where its values lie on an axis
importance which of them mattered, by Optuna
metrics    how values are written
figures    all plots: curves (by epoch) and comparisons (between trials)
tables     failures by class, and CSV
page       the HTML, from templates
pictures   the plots as PNG
writing    the files
"""

from tune_jobs.report.writing import Written, draw_at_end, write_report

__all__ = ["Written", "draw_at_end", "write_report"]
