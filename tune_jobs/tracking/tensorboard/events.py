"""The event file of a trial, as bytes, from the ledger alone: the same record always gives the same bytes.

A file therefore needs no note of its content: it contains the bytes of the record, or their beginning. More epochs add
bytes at the end. TensorBoard stores values as 32-bit floats.
"""

import io
from collections.abc import Sequence

from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2
from tensorboard.summary.writer.record_writer import RecordWriter

from tune_jobs.record.rows import ENDED, Attempt, Epoch, Trial
from tune_jobs.results.columns import Column, fields
from tune_jobs.system.visible import visible

VERSION = "brain.Event:2"


def events_of(
    trial: Trial, attempts: Sequence[Attempt], epochs: Sequence[Epoch], columns: Sequence[Column], name: str
) -> bytes:
    """Return the complete event file of a trial.

    Args:
        trial: The trial.
        attempts: Its attempts in order; at least one.
        epochs: Its effective epochs, in order.
        columns: The fields that TensorBoard shows as hyperparameters.
        name: The name of the run.
    """
    file = io.BytesIO()
    write = RecordWriter(file).write
    started = attempts[0].started
    values = fields(trial.config)
    shown = {visible(column.name): values.get(column.key) for column in columns} | {"seed": trial.config.training.seed}
    hparams = {key: visible(value) if isinstance(value, str) else value for key, value in shown.items()}
    given = {key: value for key, value in hparams.items() if value is not None}
    write(event_pb2.Event(wall_time=started, file_version=VERSION).SerializeToString())
    start = summary_v2.hparams_pb(given, trial_id=name, start_time_secs=started)
    write(_event(started, 0, start))
    for epoch in epochs:
        numbers = [(tag, value) for tag, value in epoch.metrics.items() if isinstance(value, int | float)]
        scalars = [summary_pb2.Summary.Value(tag=visible(tag), simple_value=value) for tag, value in numbers]
        write(_event(epoch.at, epoch.epoch, summary_pb2.Summary(value=scalars)))
    if trial.state in ENDED:
        ended = attempts[-1].ended or started
        write(_event(ended, 0, _end(ended, succeeded=trial.state in ("complete", "stopped"))))
    return file.getvalue()


def _event(at: float, step: int, summary: summary_pb2.Summary) -> bytes:
    # Without `deterministic`, the byte order of maps may vary.
    content: bytes = event_pb2.Event(wall_time=at, step=step, summary=summary).SerializeToString(deterministic=True)
    return content


def _end(at: float, *, succeeded: bool) -> summary_pb2.Summary:
    status = api_pb2.STATUS_SUCCESS if succeeded else api_pb2.STATUS_FAILURE
    end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=at)
    meta = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=end))
    value = summary_pb2.Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=meta, tensor=metadata.NULL_TENSOR)
    return summary_pb2.Summary(value=[value])
