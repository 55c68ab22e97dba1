from collections.abc import Collection

from tests.tune_jobs.driver.by_hand import ByHand
from tune_jobs.driver.placement import ROOM_S, Placement


def test_the_room_on_the_machines_is_asked_for_only_from_time_to_time() -> None:
    asked: list[set[str]] = []

    def room(without: Collection[str]) -> int:
        asked.append(set(without))
        return 2

    executor = ByHand(room)
    placement = Placement(executor)
    assert [placement.have_room_beside(running) for running in (0, 1, 2)] == [True, True, False]
    assert len(asked) == 1
    executor.clock += ROOM_S
    placement.have_room_beside(1)
    assert len(asked) == 2


def test_the_first_trial_may_wait_for_a_machine() -> None:
    placement = Placement(ByHand(lambda _: 0))
    assert placement.have_room_beside(0)
    assert not placement.have_room_beside(1)
    assert not placement.any_left()


def test_an_executor_that_does_not_answer_leaves_the_last_known_room() -> None:
    answers = [3]

    def room(_: Collection[str]) -> int:
        return answers.pop()

    executor = ByHand(room)
    placement = Placement(executor)
    assert placement.have_room_beside(2)
    executor.clock += ROOM_S
    assert placement.have_room_beside(2)
    assert not placement.have_room_beside(3)


def test_a_machine_that_cannot_see_the_folder_is_avoided_once_another_can() -> None:
    placement = Placement(ByHand(lambda without: 2 - len(set(without))))
    assert not placement.saw_folder("n1", shared=False)  # no machine ever has: the folder is wrong
    assert placement.saw_folder("n2", shared=True)
    assert placement.saw_folder("n1", shared=False)
    assert placement.avoided("any") == {"n1"}


def test_a_trial_avoids_a_machine_without_its_images_while_another_has_room() -> None:
    left = {"n1", "n2"}
    placement = Placement(ByHand(lambda without: len(left - set(without))))
    placement.lacked_data("n1", "a")
    assert placement.avoided("a") == {"n1"}
    assert placement.avoided("b") == set()
    left.discard("n2")
    assert placement.avoided("a") == set()
