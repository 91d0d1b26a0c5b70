import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numbered_records import NumberedRecords, numbers

from noise2map_jax.data.input_pipeline import eval_batches, train_batches


def train_rows(num_batches, *, batch_size, num=10, seed=0, own=None, **options):
    own = range(batch_size) if own is None else own
    batches = train_batches(
        NumberedRecords(num),
        ("image",),
        seed=seed,
        batch_size=batch_size,
        rows=own,
        num_threads=1,
        **options,
    )
    return numbers(itertools.islice(batches, num_batches))


def divided(draw, batch_size):
    """Rows of a batch divided among processes in any way, as the devices of a slice may lie."""
    num = draw(st.sampled_from([1, 2, 3, 4]))
    order = draw(st.permutations(range(batch_size)))
    return [sorted(order[p::num]) for p in range(num)]


def test_each_pass_visits_every_record_once_in_a_new_order():
    seen = list(itertools.chain(*train_rows(10, batch_size=4)))
    passes = [seen[i : i + 10] for i in range(0, 40, 10)]
    assert all(sorted(p) == list(range(10)) for p in passes)
    assert len({tuple(p) for p in passes}) == 4
    assert passes[0] != list(range(10))


def test_the_seed_decides_the_order():
    assert train_rows(3, batch_size=4) == train_rows(3, batch_size=4)
    assert train_rows(3, batch_size=4) != train_rows(3, batch_size=4, seed=1)


@settings(deadline=None, max_examples=20)
@given(first_step=st.integers(0, 30), batch_size=st.sampled_from([1, 4, 12]))
def test_any_step_can_be_gone_on_from(first_step, batch_size):
    whole = train_rows(first_step + 3, batch_size=batch_size)
    assert train_rows(3, batch_size=batch_size, first_step=first_step) == whole[first_step:]


@settings(deadline=None, max_examples=20)
@given(data=st.data(), first_step=st.integers(0, 7))
def test_a_row_holds_the_same_record_whichever_process_reads_it(data, first_step):
    whole = train_rows(4, batch_size=12, first_step=first_step)
    for own in divided(data.draw, 12):
        read = train_rows(4, batch_size=12, first_step=first_step, own=own)
        assert read == [[batch[row] for row in own] for batch in whole]


@settings(deadline=None, max_examples=30)
@given(num=st.integers(1, 23), batch_size=st.sampled_from([4, 8]), data=st.data())
def test_evaluation_reads_each_record_once_and_fills_the_last_batch(num, batch_size, data):
    processes = divided(data.draw, batch_size)
    shares = [
        list(
            eval_batches(
                NumberedRecords(num), ("image",), batch_size=batch_size, rows=own, num_threads=1
            )
        )
        for own in processes
    ]
    num_batches = -(-num // batch_size)
    assert [len(share) for share in shares] == [num_batches] * len(shares)
    for own, share in zip(processes, shares, strict=True):
        for i, batch in enumerate(share):
            index = np.array([i * batch_size + row for row in own])
            np.testing.assert_array_equal(batch["valid"], index < num)
            np.testing.assert_array_equal(batch["index"], np.where(index < num, index, -1))
            np.testing.assert_array_equal(
                batch["image"][:, 0, 0, 0], np.where(index < num, index, 0)
            )


def test_only_the_named_arrays_reach_the_device():
    batches = train_batches(
        NumberedRecords(3), ("image",), seed=0, batch_size=2, rows=range(2), num_threads=1
    )
    batch = next(batches)
    assert set(batch) == {"image"}
    assert batch["image"].dtype == np.uint8
