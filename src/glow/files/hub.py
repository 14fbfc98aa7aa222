"""Asking the Hugging Face hub for a repository: what may pass is tried again, what will not is refused.

The hub is where the environment variable HF_ENDPOINT says, and HF_HUB_OFFLINE=1 switches it off; both are
huggingface_hub's own. What is asked, and what becomes of the answer, is in `glow.files.hub_files`,
`glow.models.fetch` and `glow.data.hub`.
"""

import errno
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal, NoReturn, TypeVar

from httpx import HTTPError, RequestError
from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import parse_ratelimit_headers

from glow.errors import UserError

TRIES = 8
"""How often something is asked in all: 4 minutes of waiting, beside what huggingface_hub tries by itself."""

TRIES_UNREACHED = 3
"""The same while the hub was not reached even once: then this machine is likely to have no network."""

FIRST_WAIT_S, LONGEST_WAIT_S = 2, 120
"""Seconds before the second try, doubled from then on, and where that ends."""

PATIENCE_S = 900
"""Longest wait in seconds that a busy hub may ask for (Retry-After)."""

PASSING = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses that may be another one a moment later."""

FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

Answer = TypeVar("Answer")


class Repository:
    """A model or data set on the hub, at one commit.

    Args:
        instead: what its user may do who cannot reach it, as an order: "give the path of a local copy".
    """

    def __init__(self, name: str, kind: Literal["model", "data set"], revision: str, instead: str) -> None:
        self.name, self.kind, self.revision, self.instead = name, kind, revision, instead
        self._was_reached = False

    def __str__(self) -> str:
        return f"{self.name}@{self.revision[:12]}"

    @property
    def page(self) -> str:
        """Its page, where its terms can be accepted; mirrors have no such pages."""
        return f"https://huggingface.co/{'datasets/' if self.kind == 'data set' else ''}{self.name}"

    def ask(self, question: Callable[[], Answer], downloads: bool = False) -> Answer:
        """What `question` returns, which asks the hub; asked again where its failure may pass.

        Args:
            downloads: whether it downloads whole files. Those may come from the storage Xet, whose client
                raises RuntimeError for most that goes wrong on the way.

        Raises:
            UserError: it will not pass, or did not in the time that is given to it.
        """
        self.refuse_offline(constants.is_offline_mode())
        known = (HTTPError, OSError, EntryNotFoundError, *((RuntimeError,) if downloads else ()))
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = question()
            except known as error:
                self._wait(error, attempt)
            else:
                self._was_reached = True
                return answer

    def refuse_offline(self, is_offline: bool) -> None:
        """Refuse to be fetched where the environment forbids it.

        Raises:
            UserError: `is_offline`.
        """
        if is_offline:
            raise UserError(
                f"{self}: cannot be fetched: the environment says not to use the network (HF_HUB_OFFLINE)\n"
                f"Unset that on a machine that has a network, or {self.instead}."
            )

    def refuse_gated(self) -> NoReturn:
        """Refuse to go on without access.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"{self}: its terms have to be accepted first, at {self.page}\n"
            f"Then log in with `hf auth login` (or set HF_TOKEN) and start again; or {self.instead}."
        )

    def _wait(self, error: Exception, attempt: int) -> None:
        """Wait before the next try, or refuse one: by what lies behind the error."""
        found = _telling(error)
        status = found.response.status_code if isinstance(found, HfHubHTTPError) else None
        self._was_reached = self._was_reached or status is not None
        if isinstance(found, OfflineModeIsEnabled):
            self.refuse_offline(True)
        if isinstance(found, GatedRepoError) or "is a gated dataset" in str(found):  # datasets says only this
            self.refuse_gated()
        if isinstance(found, RevisionNotFoundError):
            raise UserError(f"{self}: the hub has no such commit\nCheck the revision, or {self.instead}.")
        if isinstance(found, RepositoryNotFoundError) or status in (401, 403):
            raise UserError(
                f"{self}: there is no such {self.kind}, or it is private (HTTP {status}): {self.page}\n"
                f"Check the name; for a private one log in with `hf auth login`; or {self.instead}."
            )
        if isinstance(found, OSError) and found.errno in FULL:
            raise UserError(f"{self}: the disk is full: make room and start again; what is complete is kept")
        if not _may_pass(found):
            raise UserError(
                f"{self}: cannot be read: {_in_words(found)}\nCheck its files, or {self.instead}."
            )
        waits = max(min(FIRST_WAIT_S * 2 ** (attempt - 1), LONGEST_WAIT_S), _asked_wait(found))
        if attempt >= (TRIES if self._was_reached else TRIES_UNREACHED) or waits > PATIENCE_S:
            asked = f" and asks for {waits:.0f} s without a request" if waits > PATIENCE_S else ""
            raise UserError(
                f"{self}: {constants.ENDPOINT} fails{asked} (try {attempt}: {_in_words(found)})\n"
                f"Check the network and start again, which goes on from here; or {self.instead}."
            ) from error
        print(f"{self}: {_in_words(found)}; trying again in {waits:.0f} s", file=sys.stderr, flush=True)
        time.sleep(waits)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that it was made of."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _telling(error: Exception) -> BaseException:
    """Of an error and what it was made of, what came from the hub, the network or the disk."""
    telling = (HfHubHTTPError, RequestError, OfflineModeIsEnabled, FileMetadataError)
    for found in _chain(error):
        if isinstance(found, telling) or (isinstance(found, OSError) and found.errno in FULL):
            return found
    return error


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in PASSING
    # huggingface_hub and datasets raise the second and third where the network failed, and do not say how.
    # The last is Xet's (see `ask`). A file that ended early has no class of its own.
    networks = (RequestError, ConnectionError, LocalEntryNotFoundError, TimeoutError, RuntimeError)
    return isinstance(error, networks) or "Consistency check failed" in str(error)


def _asked_wait(error: BaseException) -> float:
    """For how many seconds the hub wants to be left alone: Retry-After (seconds, or a date), or its limit."""
    if not isinstance(error, HfHubHTTPError):
        return 0
    limit = parse_ratelimit_headers(error.response.headers)
    said = error.response.headers.get("Retry-After")
    if said is None:
        return limit.reset_in_seconds if limit is not None and limit.remaining == 0 else 0
    if said.strip().isdigit():
        return float(said)
    try:
        return max(0.0, (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):  # no date, or one without a zone
        return 0


def _in_words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:200]
