from search_spaces.plurals import plural


def test_only_a_count_of_one_is_singular() -> None:
    assert [plural(count, "point") for count in (0, 1, 2000)] == ["0 points", "1 point", "2,000 points"]
    assert [plural(hours, "GPU-hour") for hours in (0.5, 1.0)] == ["0.5 GPU-hours", "1 GPU-hour"]
    assert plural(2, "field that varies", "fields that vary") == "2 fields that vary"
