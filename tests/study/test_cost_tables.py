import csv
import io

from page_contents import some_costs

from noise2map_jax.page.number_text import significant
from noise2map_jax.study.cost_tables import costs_to_csv, costs_to_markdown


def test_csv_holds_every_number():
    first, second, _ = csv.DictReader(io.StringIO(costs_to_csv(some_costs())))
    assert (first["variant"], first["parameters"]) == ("paper", "113673219")
    rates = [first[f"train_images_per_second{end}"] for end in ("", "_least", "_most")]
    assert rates == ["12.3456", "11", "13.5"]
    assert first["predict_images_per_second"] == "40"
    assert (first["forward_gflop"], first["image_size"]) == ("494.5", "256")
    assert first["train_memory_bytes"] == str(3 * 2**30)
    assert (second["passes"], second["repeats"]) == ("4", "5")
    assert "EPYC" in first["machine"]


def test_markdown_is_for_people():
    note, _, header, rule, first, *_ = costs_to_markdown(some_costs()).splitlines()
    assert first == (
        "| paper | 113,673,219 | 494 | 12.3 (11.0 to 13.5) | 40.0 (38.0 to 41.0) | 3.00 |"
    )
    assert header.count("|") == rule.count("|") == first.count("|")
    for part in (
        "batches of 16 images of 128 x 128 pixels, prediction of 8 of 256 x 256",
        "several passes an image (cosine 4)",
        "medians of 5 measurements",
        "AMD EPYC",
    ):
        assert part in note


def test_three_digits_count():
    numbers = (0.0, 0.00012345, 1.0, 9.996, 123.45, 1234567.0, -0.5, float("nan"), None)
    found = [significant(number) for number in numbers]
    assert found == ["0.00", "0.000123", "1.00", "10.0", "123", "1,234,567", "-0.500", "n/a", "–"]
