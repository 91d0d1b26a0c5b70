import pytest
from accelerator_jobs import larger, make_job

from benchmarks.accelerator import short_training
from benchmarks.accelerator.job import OutOfTime


def test_the_short_training_is_as_long_as_there_is_time_for(tmp_path):
    size = larger(train_batch=8, least_steps=20, most_steps=300)
    rows = [
        {"dtype": "float32", "images_per_second": rate, "compile_seconds": 20.0}
        for rate in (4.0, 16.0)
    ]
    results = {"training": {"rows": rows}}  # half a second a step

    def steps(seconds):
        return short_training._num_steps(make_job(tmp_path, size, "cpu", seconds, results))

    assert steps(130.5) == 100  # half of the time, after half a minute to compile
    assert steps(1e4) == 300
    with pytest.raises(OutOfTime, match="20 steps"):
        steps(49)
