"""One page that shows a sweep: HTML that needs no network, its plots as PNG, its numbers as CSV.

data       what is said, read from the sweep's folder once
sizes      GFLOPs and parameters, recorded or measured
axes       what differs between trials, and where its values lie on an axis
effects    what each value of a field came to; surrogate fits the model, findings are the sentences
importance how much each field explains, by the same model
epochs     curves, seconds and sizes of all trials, read in columns
lines      learning curves by configuration; colors by a field of theirs
points     what plots compare: configurations, by the mean over their seeds
metrics    how values are written
figures    all plots: curves (by epoch), comparisons (between trials) and costs
tables     failures by class, and CSV
page       the HTML, from templates
pictures   the plots as PNG
writing    the files
"""

from tune_jobs.report.writing import Written, draw_at_end, write_report

__all__ = ["Written", "draw_at_end", "write_report"]
