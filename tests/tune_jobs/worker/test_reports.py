import json

import pytest

from tune_jobs.record.environment import Environment
from tune_jobs.worker.reports import (
    AttemptFailed,
    Begun,
    EpochDone,
    Report,
    ResumedFrom,
    StoppedWithSweep,
    decode,
    encode,
)


@pytest.mark.parametrize(
    "report",
    [
        Begun("n1", "host", shared=False),
        ResumedFrom(3, "damaged", "cpu"),
        ResumedFrom(0, None, "cpu", Environment(2, "EPYC", "AVX2", {"torch": "2.15.0"}, "c0de", 2)),
        EpochDone(2, {"val/accuracy": 0.25, "epoch_s": 1.5}),
        StoppedWithSweep(),
        AttemptFailed("oom", "no memory"),
    ],
)
def test_a_report_survives_encoding_with_tunes_extra_entries(report: Report) -> None:
    sent = json.loads(json.dumps(encode(report)))
    assert decode({**sent, "trial_id": "a", "training_iteration": 7, "date": "today"}) == report


def test_an_invalid_report_is_an_error() -> None:
    with pytest.raises(KeyError):
        decode({"kind": "surprise"})
    with pytest.raises(ValueError, match="Expecting"):
        decode({"kind": "epoch", "epoch": 1, "metrics": "no JSON"})
