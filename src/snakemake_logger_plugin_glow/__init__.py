"""What a run of the workflow shows: one line for the experiment, and what went wrong.

Snakemake finds this package by its name (`--logger glow`, which profiles/default sets). On a terminal the
line is drawn anew every second; elsewhere a line is written as jobs end. What jobs print goes to their logs,
and all that Snakemake says, with the commands, to its own log in .snakemake/log. A dry-run, and a run with
`--verbose`, show all of it as Snakemake does by itself.
"""

import logging
import os
import shutil
import sys
import threading
import time
from typing import TextIO

from snakemake.logging import (
    ColorizingTextHandler,
    DefaultFilter,
    DefaultFormatter,
    get_event,
)
from snakemake.settings.enums import Quietness
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_glow.failures import failure_lines
from snakemake_logger_plugin_glow.status import Status

_SHOWN_MESSAGES = ("Nothing to be done", "Complete log", "Will exit after finishing", "Terminating processes")
"""How messages begin that are shown though they are no warnings."""

_BETWEEN_LINES_S = 10.0
"""Seconds between lines in a file, at least: a study has up to a thousand jobs."""

_WITHOUT_NEWS_S = 600.0
"""After so many seconds in which no job has ended, a file gets a line all the same."""


class LogHandler(LogHandlerBase):
    """Snakemake's log records as one line (see the module)."""

    def __post_init__(self) -> None:
        settings = self.common_settings
        self._stream: TextIO = sys.stdout if settings.stdout else sys.stderr
        self._is_live = self._stream.isatty() and os.environ.get("TERM") != "dumb"
        self._status = Status(time.monotonic)
        self._guard = threading.RLock()
        self._drawn = False
        self._written = float("-inf")
        self._ended = threading.Event()
        self._full = ColorizingTextHandler(nocolor=settings.nocolor, stream=self._stream)
        self._full.setFormatter(DefaultFormatter(settings.quiet, settings.show_failed_logs))
        self._full.addFilter(
            DefaultFilter(
                settings.quiet,
                settings.debug_dag,
                settings.verbose,
                settings.dryrun,
                settings.printshellcmds,
            )
        )
        self._shows_all = settings.dryrun or settings.verbose or settings.debug_dag
        self._shows_line = not {Quietness.PROGRESS, Quietness.ALL} & set(settings.quiet or ())
        if not self._shows_all and self._shows_line:
            threading.Thread(target=self._tick, daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Show a record, or only take note of it."""
        with self._guard:
            if self._shows_all:
                self._full.handle(record)
                return
            event = get_event(record)
            facts = vars(record)
            if event == LogEvent.JOB_ERROR:
                self._say("\n".join(failure_lines(self._status.label(facts), facts)))
            elif event == LogEvent.JOB_INFO and facts["rule_msg"] and not facts["shellcmd"]:
                self._say(facts["rule_msg"])  # a target's message: it has no command
            elif record.levelno >= logging.WARNING or (event is None and self._is_shown(record)):
                self._erase()
                self._full.handle(record)
            self._show_line(self._status.note(event, facts))

    def _is_shown(self, record: logging.LogRecord) -> bool:
        return str(record.msg).startswith(_SHOWN_MESSAGES)

    def _show_line(self, ended: bool) -> None:
        """The line, drawn anew on a terminal; in a file only as jobs end, and not too often."""
        if not (self._shows_line and self._status.total):
            return
        if self._is_live:
            self._draw()
            return
        waited = time.monotonic() - self._written
        is_due = waited >= _WITHOUT_NEWS_S or (ended and waited >= _BETWEEN_LINES_S)
        if is_due or (ended and self._status.is_done):
            self._written = time.monotonic()
            self._say(f"[{time.strftime('%H:%M:%S')}] {self._status.line()}")

    def _draw(self) -> None:
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f"\r\x1b[K{self._status.line()[:width]}")
        self._drawn = True
        if self._status.is_done:  # what comes after it begins on a line of its own
            self._stream.write("\n")
            self._drawn = False
            self._shows_line = False
        self._stream.flush()

    def _erase(self) -> None:
        if self._drawn:
            self._stream.write("\r\x1b[K")
            self._drawn = False

    def _say(self, text: str) -> None:
        self._erase()
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def _tick(self) -> None:
        """Keep times right while nothing happens."""
        while not self._ended.wait(1.0):
            with self._guard:
                self._show_line(ended=False)

    def close(self) -> None:
        """End the line, so that a shell's prompt does not stand in it."""
        self._ended.set()
        with self._guard:
            if self._drawn:
                self._stream.write("\n")
                self._stream.flush()
                self._drawn = False
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        """Yes: Snakemake's own messages are not shown beside."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """No."""
        return False

    @property
    def has_filter(self) -> bool:
        """Yes: it chooses what is shown itself."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Yes."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """No."""
        return False
