"""What a look finds in a folder, and in a bucket of an S3-compatible store."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from penstock.triggers import ObjectsTrigger
from workers.buckets import CannotLook, look_at


def trigger(bucket: object, **more: Any) -> ObjectsTrigger:
    return ObjectsTrigger.model_validate({"name": "t", "type": "objects", "bucket": str(bucket), **more})


def test_the_files_of_a_folder_and_of_those_below(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("x.png", "a/x.png", "a/b/x.png", "a/x.txt", ".x.png", "a/.b.png"):
        (tmp_path / name).write_bytes(b"12345")
    (tmp_path / "a" / "link.png").symlink_to(tmp_path / "x.png")
    assert set(look_at(trigger(tmp_path, suffix=".png"))()) == {"x.png", "a/x.png", "a/b/x.png"}
    found = look_at(trigger(tmp_path, prefix="a/b", suffix=".png"))()
    assert [(key, one.size) for key, one in found.items()] == [("a/b/x.png", 5)]


def test_a_file_looks_different_once_it_is_written_to_and_the_same_once_it_is_renamed(tmp_path: Path) -> None:
    look = look_at(trigger(tmp_path))
    (tmp_path / "x").write_bytes(b"1")
    first = look()["x"]
    assert look()["x"] == first
    (tmp_path / "x").chmod(0o600)
    assert look()["x"].look == first.look
    (tmp_path / "x").rename(tmp_path / "y")
    assert look()["y"].look == first.look
    assert look()["y"].changed_ms >= first.changed_ms, "to get a name is to appear"
    (tmp_path / "y").write_bytes(b"22")
    assert look()["y"].look != first.look


def test_names_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff")).write_bytes(b"1")
    assert list(look_at(trigger(tmp_path))()) == ["\udcff"]


def test_what_is_no_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotLook, match=r"nowhere is not a folder"):
        look_at(trigger(tmp_path / "nowhere"))()


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Any]]:
    """URL of a store with the bucket `pictures`, and a client of it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    client = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
    client.create_bucket(Bucket="pictures")
    yield url, client
    server.stop()


def test_the_objects_of_a_bucket(s3: tuple[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    url, client = s3
    for key in ("in/a.png", "in/a.txt", "out/a.png"):
        client.put_object(Bucket="pictures", Key=key, Body=b"12345")
    look = look_at(trigger("s3://pictures", endpoint=url, prefix="in/", suffix=".png"))
    [(key, first)] = look().items()
    assert (key, first.size, first.etag) == ("in/a.png", 5, "827CCB0EEA8A706C4C34A16891F84E7B")
    client.put_object(Bucket="pictures", Key="in/a.png", Body=b"another")
    assert look()["in/a.png"].look != first.look
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    assert len(look_at(trigger("s3://pictures"))()) == 3, "the store of the environment"


def test_a_bucket_that_is_not_there_is_said(s3: tuple[str, Any]) -> None:
    with pytest.raises(CannotLook, match=r"s3://nowhere: .*NoSuchBucket"):
        look_at(trigger("s3://nowhere", endpoint=s3[0]))()


def test_without_boto3_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.exceptions", None)
    with pytest.raises(CannotLook, match=r"pip install 'penstock\[s3\]'"):
        look_at(trigger("s3://pictures"))()
