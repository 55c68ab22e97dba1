from tune_jobs.doctor.finding import Finding


def test_a_finding_is_one_line_for_people_and_a_dict_for_programs() -> None:
    wrong = Finding("data", ok=False, says="there are no images", fix="convnn fetch them")
    assert str(wrong) == "FAIL data      there are no images; fix: convnn fetch them"
    assert str(Finding("versions", ok=True, says="Python 3")) == "ok   versions  Python 3"
    assert wrong.as_dict() == {"check": "data", "ok": False, "says": "there are no images", "fix": "convnn fetch them"}
