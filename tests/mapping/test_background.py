import threading

import pytest

from noise2map_jax.mapping.background import WriteBehind, read_ahead


def test_items_come_in_order_and_some_are_read_before_they_are_asked_for():
    read, third = [], threading.Event()

    def items():
        for number in range(6):
            read.append(number)
            if number == 2:
                third.set()
            yield number

    ahead = read_ahead(items(), 2)
    assert next(ahead) == 0
    assert third.wait(10)  # 1 and 2 are read while 0 is used
    assert 5 not in read
    assert list(ahead) == [1, 2, 3, 4, 5]


def test_an_error_of_reading_is_raised_where_the_item_is_asked_for():
    def items():
        yield 1
        raise ValueError("damaged")

    ahead = read_ahead(items(), 3)
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="damaged"):
        next(ahead)


def test_calls_are_made_in_order_and_all_before_the_end():
    done = []
    with WriteBehind(done.append, 2) as write:
        for number in range(20):
            write(number)
    assert done == list(range(20))


def test_an_error_of_writing_is_raised_and_no_later_call_is_lost_in_silence():
    def fail(number):
        if number == 3:
            raise OSError("disk full")

    def write_all():
        with WriteBehind(fail, 2) as write:
            for number in range(4):  # the last call fails: only the end can tell
                write(number)

    with pytest.raises(OSError, match="disk full"):
        write_all()


def test_an_error_of_the_caller_is_not_replaced():
    def fail(number):
        raise OSError("disk full")

    def write_and_fail():
        with WriteBehind(fail, 2) as write:
            write(0)
            raise ValueError("damaged")

    with pytest.raises(ValueError, match="damaged"):
        write_and_fail()
