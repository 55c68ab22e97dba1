"""Writes one page about a sweep: HTML that needs no network, with plots as PNG and numbers as CSV on request.

data       everything the report uses, read once from the sweep's folder
sizes      GFLOPs and parameters, recorded or measured
axes       the fields that differ between trials, and the position of their values on an axis
effects    the results of each value of a field; surrogate fits the model, findings writes the sentences
importance how much each field explains, by the same model
epochs     curves, seconds and sizes of all trials, read as columns
lines      learning curves by configuration
colors     line colors by a field
points     the configurations that plots compare, each by the mean over its seeds
metrics    number formats
figures    all plots: curves (over epochs), comparisons (between trials) and costs
tables     failures by class, and CSV
page       the HTML, from templates
pictures   the plots as PNG
writing    the files
"""

from tune_jobs.report.writing import Written, draw_at_end, write_report

__all__ = ["Written", "draw_at_end", "write_report"]
