from tests.tune_jobs.report.drawn import Sweep
from tune_jobs.record.lease import lease
from tune_jobs.report.data import ReportData, read_data


def read(sweep: Sweep) -> ReportData:
    return read_data(sweep.folder, 0, lambda _: None)


def test_a_sweep_that_writes_its_report_at_its_end_is_not_running(sweep: Sweep) -> None:
    sweep.ledger.meta.planned = 1
    sweep.trial([0.5], "complete")
    with lease(sweep.folder.path):
        assert read(sweep).state == "done"
    sweep.trial([0.5], None)
    assert read(sweep).state == "unfinished"


def test_an_unreadable_file_does_not_prevent_the_report(sweep: Sweep) -> None:
    sweep.trial([0.5, 0.6], "complete")
    assert read(sweep).planned_epochs is not None
    sweep.folder.spec.write_text("name: [")
    found = read(sweep)
    assert (found.spec, found.ladder, found.planned_epochs) == (None, [], None)
    assert [len(curve) for curve in found.epochs.curves.values()] == [2]
