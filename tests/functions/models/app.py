"""Loads weights from where $MODEL_DIR says, else from beside its code; with $FETCH it brings them there first."""

import fcntl
import os
import time
from pathlib import Path

FOLDER = Path(os.environ.get("MODEL_DIR") or Path(__file__).parent)
WEIGHTS = FOLDER / "weights.bin"


def fetch():
    """Once for all instances that share the folder, however many start at the same time."""
    if WEIGHTS.exists():
        return
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the kernel lets go of it when the process ends, however it ends
        if WEIGHTS.exists():  # another instance was quicker
            return
        part = WEIGHTS.with_suffix(".part")
        download(part)
        part.rename(WEIGHTS)  # there is a whole file or none


def download(target):
    with (FOLDER / "downloads").open("a") as log:
        log.write(f"{os.environ['PENSTOCK_INSTANCE']}\n")
    time.sleep(0.5)  # long enough for the others to come and wait
    target.write_bytes(b"fetched")


def initialize(context):
    global weights
    if os.environ.get("FETCH"):
        fetch()
    weights = WEIGHTS.read_bytes()


def handler(event, context):
    try:
        (FOLDER / "written").write_text("by a call")
        writes = "written"
    except OSError as error:
        writes = error.strerror
    time.sleep(float(event or 0))
    return {"weights": weights.decode(), "writes": writes, "instance": os.environ["PENSTOCK_INSTANCE"]}
