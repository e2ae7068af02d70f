"""Looks at all that lies in a folder, or in a bucket of an S3-compatible store. It blocks: called in threads."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from penstock.triggers import ObjectsTrigger
from workers.appearing import Found

Look = Callable[[], dict[str, Found]]


class CannotLook(Exception):
    """Why, and what would help."""


def look_at(trigger: ObjectsTrigger) -> Look:
    """Finds what the trigger asks for, by key. The look raises CannotLook."""
    if trigger.s3 is None:
        return partial(_folder, trigger, Path(trigger.bucket))
    clients: list[Any] = []
    return partial(_bucket, trigger, trigger.s3, clients)


def _folder(trigger: ObjectsTrigger, root: Path) -> dict[str, Found]:
    """Its files, those of folders below too. What begins with a dot is somebody's file in the making."""
    if not root.is_dir():
        raise CannotLook(f"{root} is not a folder")
    try:
        return {
            key: _file(status)
            for key, status in _walk(root, "")
            if key.startswith(trigger.prefix) and key.endswith(trigger.suffix)
        }
    except OSError as error:
        raise CannotLook(f"{error.filename or root}: {error.strerror}") from None


def _walk(folder: Path, above: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # it went while we looked
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(Path(entry.path), f"{above}{entry.name}/")
            elif stat.S_ISREG(status.st_mode):
                yield f"{above}{entry.name}", status


def _file(status: os.stat_result) -> Found:
    return Found(
        look=f"{status.st_size}-{status.st_mtime_ns}-{status.st_ino}",
        size=status.st_size,
        etag=f"{status.st_mtime_ns:X}-{status.st_size:X}",
        changed_ms=status.st_ctime_ns // 1_000_000,
    )


def _bucket(trigger: ObjectsTrigger, bucket: str, clients: list[Any]) -> dict[str, Found]:
    """`clients`: keeps the one that is made by the first look, with its connections."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise CannotLook("buckets need boto3: pip install 'penstock[s3]' where the workers run") from None
    try:
        if not clients:
            clients.append(_client(trigger))
        pages = clients[0].get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=trigger.prefix)
        return {
            one["Key"]: _object(one)
            for page in pages
            for one in page.get("Contents", ())
            if one["Key"].endswith(trigger.suffix)
        }
    except (BotoCoreError, ClientError) as error:
        raise CannotLook(f"s3://{bucket}: {error}") from None


def _client(trigger: ObjectsTrigger) -> Any:
    """Credentials come from where Amazon's own tools find them, in the environment of the workers."""
    import boto3
    from botocore.config import Config

    session = boto3.session.Session()
    return session.client(
        "s3",
        endpoint_url=trigger.endpoint,
        region_name=trigger.region or session.region_name or "us-east-1",
        config=Config(connect_timeout=5, read_timeout=20, retries={"max_attempts": 2, "mode": "standard"}),
    )


def _object(one: dict[str, Any]) -> Found:
    etag = str(one["ETag"]).strip('"')
    changed_ms = int(one["LastModified"].timestamp() * 1000)
    return Found(look=f"{etag}-{changed_ms}", size=one["Size"], etag=etag.upper(), changed_ms=changed_ms)
