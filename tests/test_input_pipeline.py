import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from noise2map_jax.input_pipeline import eval_batches, train_batches


class Records:
    """A source whose record i is full of i."""

    def __init__(self, num):
        self.num = num

    def __len__(self):
        return self.num

    def __getitem__(self, i):
        if not 0 <= i < self.num:
            raise IndexError(i)
        return {"image": np.full((2, 2, 1), i, np.uint8), "id": f"r{i}"}


def rows(batches):
    return [batch["image"][:, 0, 0, 0].tolist() for batch in batches]


def train_rows(num_batches, *, num=10, seed=0, **options):
    batches = train_batches(Records(num), ("image",), seed=seed, num_threads=1, **options)
    return rows(itertools.islice(batches, num_batches))


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
@given(process_count=st.sampled_from([1, 2, 3, 4]), first_step=st.integers(0, 7))
def test_processes_share_the_same_global_batches(process_count, first_step):
    shares = [
        train_rows(
            4,
            batch_size=12,
            first_step=first_step,
            process_index=p,
            process_count=process_count,
        )
        for p in range(process_count)
    ]
    joined = [list(itertools.chain(*parts)) for parts in zip(*shares, strict=True)]
    assert joined == train_rows(4, batch_size=12, first_step=first_step)


@settings(deadline=None, max_examples=30)
@given(
    num=st.integers(1, 23),
    batch_size=st.sampled_from([4, 8]),
    process_count=st.sampled_from([1, 2]),
)
def test_evaluation_reads_each_record_once_and_fills_the_last_batch(num, batch_size, process_count):
    shares = [
        list(
            eval_batches(
                Records(num),
                ("image",),
                batch_size=batch_size,
                process_index=p,
                process_count=process_count,
                num_threads=1,
            )
        )
        for p in range(process_count)
    ]
    assert len({len(share) for share in shares}) == 1
    index = np.concatenate([b["index"] for parts in zip(*shares, strict=True) for b in parts])
    valid = np.concatenate([b["valid"] for parts in zip(*shares, strict=True) for b in parts])
    assert index[valid].tolist() == list(range(num))
    assert len(index) % batch_size == 0
    assert np.all(index[~valid] == -1)
    for batch in itertools.chain(*shares):
        assert batch["image"].shape[0] == batch_size // process_count
        expected = np.where(batch["valid"], batch["index"], 0)
        np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], expected)


def test_only_the_named_arrays_reach_the_device():
    batch = next(train_batches(Records(3), ("image",), seed=0, batch_size=2, num_threads=1))
    assert set(batch) == {"image"}
    assert batch["image"].dtype == np.uint8
