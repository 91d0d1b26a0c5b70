import pytest

from noise2map_jax.buckets.address import Address, is_address, local_path, parse
from noise2map_jax.errors import UserError


def test_an_address_has_a_bucket_and_a_path():
    found = parse("s3://my.bucket-1/runs/ss/")
    assert found == Address("s3", "my.bucket-1", "runs/ss")
    assert str(found) == "s3://my.bucket-1/runs/ss"
    assert found.path == "my.bucket-1/runs/ss"
    assert found.name == "ss"
    assert str(found.parent / "cd" / "") == "s3://my.bucket-1/runs/cd"
    assert str(parse("gs://bucket")) == "gs://bucket"
    assert parse("gs://bucket") / "a" == parse("gs://bucket/a")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("az://bucket/run", "az:// cannot be used: expected s3://BUCKET/PATH, gs://BUCKET/PATH"),
        ("s3:///run", "begins with s3:// has no name of a bucket"),
        ("gs://b/run", "has no name of a bucket"),
        ("s3://bucket/a//b", "has an empty part"),
        ("s3://bucket/../b", "has an empty part, '.' or '..'"),
    ],
)
def test_what_is_no_address_is_refused(name, words):
    with pytest.raises(UserError) as error:
        parse(name)
    assert words in str(error.value)


def test_a_secret_in_an_address_is_not_repeated():
    with pytest.raises(UserError, match="environment") as error:
        parse("s3://AKIAKEY:hidden@bucket/run")
    assert "hidden" not in str(error.value)
    assert "AKIAKEY" not in str(error.value)


def test_what_must_be_local_says_so(tmp_path):
    assert local_path(str(tmp_path), "--output") == tmp_path
    assert not is_address(str(tmp_path))
    with pytest.raises(UserError, match="--output cannot be an address such as s3://"):
        local_path("s3://bucket/map.tif", "--output")
