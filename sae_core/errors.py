"""The errors a user can meet, each with the exit code the command line gives it.

Raise these at the boundary with one line that says what is wrong, where, and what to do. Inside, assert.
"""

from __future__ import annotations


class SaeLabError(Exception):
    """Base of every error that is shown to a user as one line, never as a traceback."""

    exit_code: int = 1


class InputError(SaeLabError):
    """The user's input is wrong: a configuration key, a folder, a file, an array. Exit code 2."""

    exit_code = 2


class Unavailable(SaeLabError):
    """Something outside this program cannot be had now: weights, a data set, an optional package. Exit code 2.

    The message names what, from where, and the embedded alternative.
    """

    exit_code = 2


class DamagedArtifact(SaeLabError):
    """An artifact in the store does not match its manifest. Exit code 2; it is named and offered for rebuilding."""

    exit_code = 2


class Cancelled(SaeLabError):
    """The user asked a running stage to stop; what was finished is kept and the stage can be resumed. Exit code 130."""

    exit_code = 130
