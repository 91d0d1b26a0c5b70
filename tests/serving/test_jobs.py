"""The queue of maps: one at a time, and places that are free again."""

import threading

import pytest

from noise2map_jax.serving.jobs import JobQueue, QueueFull, Stopped


def test_a_job_that_nobody_waits_for_makes_room_at_once():
    queue, go_on, begun = JobQueue(1, 60), threading.Event(), threading.Event()

    def long(job):
        begun.set()
        assert go_on.wait(60)
        job.check()

    running = queue.submit(long)
    assert begun.wait(60)
    left = queue.submit(lambda job: pytest.fail("it was given up"))
    assert queue.waiting == 1
    with pytest.raises(QueueFull):
        queue.submit(lambda job: None)
    queue.give_up(left)
    assert queue.waiting == 0
    with pytest.raises(Stopped, match="nobody waits"):
        left.result.result(60)
    last = queue.submit(lambda job: "done")
    queue.give_up(running)
    go_on.set()
    with pytest.raises(Stopped, match="nobody waits"):
        running.result.result(60)
    assert last.result.result(60) == "done"
    queue.give_up(last)  # finished: nothing happens
    queue.close()
