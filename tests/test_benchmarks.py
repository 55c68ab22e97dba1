"""The GPU benchmark, on the CPU: that it runs, and how it evaluates a GPU's numbers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import __main__ as command
from benchmarks.gpu import cases, parity, rows, running, text, watching

ROOT = Path(__file__).parents[1]


def test_every_case_is_compared_and_timed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--device", "cpu", "--steps", "2", "--json", "--out", str(tmp_path / "result.md")]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    expected = {(model.name, precision) for model, precision in cases.ORDER if precision != "tf32"}
    assert {(row["name"], row["precision"]) for row in found["cases"]} == expected
    for row in found["cases"]:
        assert row["status"] == "ok"
        assert row["parity"]["passed"]
        assert len(row["step_ms"]) == 2
        assert min(*row["step_ms"], row["epoch_ms"], row["evaluation_ms"], row["launches"]) > 0
    assert len(found["layers"]) == 7
    assert all(row["eager_ms"] > 0 and row["replay_ms"] is None for row in found["layers"])
    assert not found["not_run"]
    assert (tmp_path / "result.md").read_text() in err


def test_cases_without_time_are_listed_by_importance(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--device", "cpu", "--minutes", "1e-9", "--only", "lambda 0.5"]) == 0
    assert capsys.readouterr().out.endswith("## Not run\n\n- VGG-11, lambda 0.5, bf16\n- VGG-11, lambda 0.5, fp32\n\n")


def test_measurements_before_ctrl_c_are_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def observe(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "observe", observe)
    assert command.main(["--device", "cpu", "--steps", "1", "--only", "lambda 0, fp32", "--json"]) == 130
    (row,) = json.loads(capsys.readouterr().out)["cases"]
    assert row["status"] == "ok"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "tpu"], "invalid choice: 'tpu'"),
        (["--device", "cpu", "--steps", "0"], "a whole number above 0"),
        (["--device", "cpu", "--out", "README.md"], "README.md already exists"),
    ],
)
def test_a_mistake_is_answered_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as end:
        command.main(arguments)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_without_a_gpu_one_line_says_so_and_how_to_proceed() -> None:
    words, hidden = [sys.executable, "-m", "benchmarks.gpu"], {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, timeout=300, env=hidden)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.endswith("torch finds no NVIDIA GPU here; --device cpu tests the program on small models.")


def test_a_model_with_wrong_results_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "TOLERANCES", dict.fromkeys(parity.TOLERANCES, 0.0))
    assert command.main(["--device", "cpu", "--only", "lambda 0, fp32"]) == 1
    row = rows.Row("VGG-11, lambda 0", "fp32")
    running.time_cases([row], cases.SMALL, "cpu", 2)
    assert row.status == "failed parity"
    assert not row.step_ms


def test_a_case_that_needs_too_much_memory_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(running, "check", check)
    both = [rows.Row("VGG-11, lambda 0", "fp32"), rows.Row("ViT-Tiny, attention", "fp32")]
    running.time_cases(both, cases.SMALL, "cpu", 2)
    assert [row.status for row in both] == ["out of memory"] * 2


def test_a_trace_shows_when_the_device_was_busy() -> None:
    def event(kind: str, name: str, start: float, length: float) -> dict[str, object]:
        return {"ph": "X", "cat": kind, "name": name, "ts": start, "dur": length}

    events = [
        event("kernel", "void at::native::add<float>", 0, 10),
        event("kernel", "gemm", 5, 10),
        event("gpu_memset", "Memset", 20, 2),
        event("gpu_user_annotation", "Optimizer.step", 0, 100),
        event("cuda_runtime", "cudaLaunchKernel", 0, 3),
        {"ph": "M", "name": "process_name"},
    ]
    kernels = watching.read_trace({"traceEvents": events})
    assert len(kernels) == 3
    assert watching.busy_us(kernels) == 17
    assert next((text.short(one.name), one.count) for one in watching.largest(kernels, 1)) == ("add<float>", 1)


@pytest.mark.parametrize(
    ("busy_ms", "waits", "expected"),
    [
        (6.1, 0, "busy 61% of the step: launches limit it (1,400 of them, 7 us from one to the next); use CUDA graphs"),
        (6.1, 2, "but first remove 2 waits of the host at convnn/training.py:300."),
        (9.7, 0, "busy 97% of the step: they limit it (1,400 of them, 7 us each); fuse kernels first."),
        (None, 0, "no kernels were traced"),
    ],
)
def test_the_verdict_follows_from_how_busy_the_device_is(busy_ms: float | None, waits: int, expected: str) -> None:
    row = rows.Row("VGG-11, lambda 0.5", "bf16", "ok", step_ms=[10.0, 9.0, 12.0], launches=1400, busy_ms=busy_ms)
    row.waits, row.waits_at = waits, ["convnn/training.py:300"] * bool(waits)
    row.kernels = [rows.Share("void gemm|" + "x" * 100, 0.5, 12.0)]
    report = rows.Report("2026-01-01", "a GPU", "python -m benchmarks.gpu", "cuda", 256, [row], [])
    said = text.markdown(report)
    assert expected in said
    assert f"| `gemm/{'x' * 72}...` | 50.0% | 12.0 |" in said
