"""Recorded learning curves: of the published runs, of finished sweeps, of any Parquet files."""
