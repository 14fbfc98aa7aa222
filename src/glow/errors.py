"""The one exception for mistakes that a user can make and fix, and how its messages show a value.

What the machine refuses (no room on the disk, a folder that may not be written to) is said in the same way.
"""

import errno
import os
from pathlib import Path


class UserError(Exception):
    """Bad input: the message names file:line or key and says how to fix it, in one or two lines.

    The command line prints it without a traceback and exits with code 2 (`glow.cli.main`).
    """


def abbreviated(value: object, longest: int = 60) -> str:
    """The value as Python writes it, cut short where that takes `longest` characters or more."""
    text = repr(value)
    return text if len(text) < longest else text[: longest - 3] + "..."


_MENDS = {
    errno.ENOSPC: "make room, or name a place on another disk (TMPDIR for temporary files)",
    errno.EDQUOT: "make room, or name a place on another disk (TMPDIR for temporary files)",
    errno.EFBIG: "this place, or `ulimit -f`, takes no file of that size; name another",
    errno.EROFS: "name a place that may be written to",
    errno.EACCES: "change its permissions, or name another",
    errno.EPERM: "change its permissions, or name another",
    errno.EISDIR: "name a file",
    errno.ENOTDIR: "a part of it is a file; name a place in a folder",
    errno.EEXIST: "a file stands where a folder is wanted; name another place",
    errno.ENOENT: "name one that is there",
    errno.ENAMETOOLONG: "give it a shorter name",
    errno.ELOOP: "its links lead in a circle; mend them",
    errno.EMFILE: "raise `ulimit -n`",
    errno.EIO: "the disk, or its network, does not answer; try again",
    errno.ESTALE: "the disk, or its network, does not answer; try again",
}
"""What to do about what the operating system refuses."""


def of_machine(error: BaseException, output: Path | None = None) -> str | None:
    """What the operating system refused, and what to do about it; None: the error is of another kind.

    Libraries in other languages tell it in the text of an error of theirs, or as its cause.

    Args:
        error: what was raised.
        output: what was to be written: named where the error names no file, or a part of that.
    """
    found: BaseException | None = error
    while found is not None:
        code = found.errno if isinstance(found, OSError) else None
        if code not in _MENDS:
            code = next((one for one in _MENDS if os.strerror(one) in str(found)), None)
        if code is not None and not (code == errno.ENOENT and not isinstance(found, FileNotFoundError)):
            place = _place(getattr(found, "filename", None), output)
            return f"{place}{os.strerror(code)[0].lower()}{os.strerror(code)[1:]}; {_MENDS[code]}"
        found = found.__cause__
    return None


def _place(named: object, output: Path | None) -> str:
    path = Path(os.fsdecode(named)) if isinstance(named, str | bytes) and named else None
    if output is not None and (path is None or path.parent == output.parent or output in path.parents):
        path = output
    return "" if path is None else f"{path}: "
