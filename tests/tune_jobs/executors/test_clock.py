from tune_jobs.executors.clock import PAUSE_S, AwakeClock


def test_a_gap_without_a_reading_is_left_out() -> None:
    times = iter([100.0, 101.0, 103.0, 103.0 + PAUSE_S, 5000.0, 5002.0])
    clock = AwakeClock(lambda: next(times))
    assert [clock.now() for _ in range(3)] == [101.0, 103.0, 103.0 + PAUSE_S]  # a driver may be this slow
    assert clock.paused_s == 0
    asleep = 5000.0 - 103.0 - PAUSE_S
    assert [clock.now() for _ in range(2)] == [103.0 + PAUSE_S, 105.0 + PAUSE_S]
    assert clock.paused_s == asleep
