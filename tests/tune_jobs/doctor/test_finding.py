from tune_jobs.doctor.finding import Finding


def test_a_finding_is_a_line_and_the_same_for_programs() -> None:
    wrong = Finding("data", ok=False, says="there are no images", mend="convnn fetch them")
    assert str(wrong) == "FAIL data      there are no images; mend: convnn fetch them"
    assert str(Finding("versions", ok=True, says="Python 3")) == "ok   versions  Python 3"
    assert wrong.as_dict() == {"check": "data", "ok": False, "says": "there are no images", "mend": "convnn fetch them"}
