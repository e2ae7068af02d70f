"""A program without a server: it is run once for each call."""

import json
import os
import signal
import sys
import time


def main() -> None:
    event = sys.stdin.buffer.read()
    try:
        wish = json.loads(event)
    except ValueError:
        wish = {}
    if not isinstance(wish, dict):
        wish = {}
    print("the run begins", file=sys.stderr, flush=True)
    if wish.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if wish.get("talk"):
        sys.stdout.buffer.write(bytes(range(256)) * wish["talk"])
    time.sleep(wish.get("seconds", 0))
    if wish.get("exit"):
        print("the run fails", file=sys.stderr)
        sys.exit(wish["exit"])
    if wish.get("look"):
        names = ("FC_CUSTOM_CONTAINER_EVENT", "PENSTOCK_INVOCATION", "PENSTOCK_ATTEMPT")
        print(json.dumps({name: os.environ.get(name) for name in names}))
    elif not wish.get("talk"):
        sys.stdout.buffer.write(event)


if __name__ == "__main__":
    main()
