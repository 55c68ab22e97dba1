"""Recorded learning curves: of the published runs, of finished sweeps, and of any Parquet files."""
