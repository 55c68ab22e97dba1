from dataclasses import replace

from search_spaces.settings import Hyperband, RandomSearch
from tests.tune_jobs.driver.by_hand import SPEC
from tests.tune_jobs.search.pruners.judged import Judged
from tune_jobs.search.study import Study

RULE = Hyperband(kind="hyperband", grace_epochs=3, reduction_factor=3)


def test_some_brackets_judge_early_and_others_late() -> None:
    found = Judged(RULE)  # with 27 epochs, brackets judge first after 3, 9 and 27 epochs
    many = 100
    stopped = [found.stopped_at([1 - number / many] * 26) for number in range(many)]  # each worse than the last
    shares = {epoch: stopped.count(epoch) / many for epoch in set(stopped)}
    assert shares.keys() == {3, 9, None}
    assert 0.5 < shares[3] < 0.7  # 9 of 9 + 5 + 3
    assert 0.2 < shares[9] < 0.4
    assert 0.1 < shares[None] < 0.3


def test_a_trials_bracket_is_the_same_in_every_rebuilt_search_but_depends_on_the_seed() -> None:
    def stopped(seed: int) -> list[bool]:
        study = Study(
            replace(
                SPEC,
                search=RandomSearch(sampler="random", trials=99, seed=seed),
                stopping=Hyperband(kind="hyperband", reduction_factor=2),
            )
        )
        found = []
        for number in range(20):
            answer = study.ask()
            assert answer is not None
            study.join(str(number), answer)
            found.append(study.observe(str(number), 1, {SPEC.metric: -number}))
        return found

    assert stopped(0) == stopped(0)
    assert stopped(0) != stopped(1)
