"""One command from its words to its exit code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Sequence

from sae_core.cli.parser import build_parser
from sae_core.cli.printing import human
from sae_core.errors import Cancelled, SaeLabError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    # A polite kill (as of a container) stops a stage at once and keeps what it finished, like Ctrl-C.
    with contextlib.suppress(ValueError):  # not in the main thread: the caller's signals are its own
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        args = build_parser().parse_args(words)
        with contextlib.redirect_stdout(sys.stderr):
            result = args.action(args)
        print(json.dumps(result) if args.json else human(result))
        return 0
    except (Cancelled, KeyboardInterrupt) as error:
        return _fail(str(error) or "cancelled; what was finished is kept, the same command resumes", 130, debug)
    except SaeLabError as error:
        return _fail(str(error), error.exit_code, debug)
    except BrokenPipeError:
        # The reader of our output (such as `head`) went away; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return _fail(f"unexpected {type(error).__name__}: {error} (--debug shows where)", 1, debug)


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print("error: " + " ".join(message.split()), file=sys.stderr)
    return code
