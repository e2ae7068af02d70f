"""The command line. Exit code 2 for bad input or configuration, 1 for what failed, each with one line."""

from __future__ import annotations

import sys

from penstock.errors import PenstockError, RequestError


def main() -> None:
    """Entry point of the `penstock` command."""
    from penstock.cli.commands import make_app

    try:
        make_app(sys.argv[1] if len(sys.argv) > 1 else None)(standalone_mode=True)
    except PenstockError as error:
        print(f"penstock: {error}", file=sys.stderr)
        bad_input = error.code in ("invalid_configuration", "invalid_request") or isinstance(error, RequestError)
        sys.exit(2 if bad_input else 1)
