from tests.tune_jobs.report.conftest import sweep

__all__ = ["sweep"]
