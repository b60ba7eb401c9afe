"""What can go wrong, one class each.

Belongs here: the exceptions that a person may see, and how much of a value they repeat. Every message is one line that says
what was found, what was expected and what to do. Does not belong here: catching, printing or exit codes (``cli.py``).
"""


def shortened(text: str, length: int) -> str:
    """Return a text as it is, or so many characters of a longer one and a sign that there is more."""
    return text if len(text) <= length else f"{text[:length]}…"


class HistoryError(Exception):
    """Base of every error that this project raises on purpose; its text is fit to be shown as it is.

    ``passing`` says whether the same may succeed when it is asked again later, with nobody having changed anything.
    """

    passing = False

    def __init__(self, message: str, *, passing: bool | None = None) -> None:
        super().__init__(message)
        if passing is not None:
            self.passing = passing


class SettingsError(HistoryError):
    """A setting is unknown, malformed, or contradicts what the history was built with."""


class UsageError(HistoryError):
    """What was asked for makes no sense: a bad date, a schema or table that does not exist."""


class WarehouseError(HistoryError):
    """The warehouse is missing, locked, or answered with something that cannot be used."""


class InUseError(WarehouseError):
    """Another process keeps a DuckDB file to itself."""

    passing = True


class CloneError(HistoryError):
    """A schema could not be cloned for a date; nothing of the attempt is left behind."""


class NotSettledError(CloneError):
    """A schema cannot be cloned for a date yet, since a sync is under way; asked again when it is over, it can, or says why."""

    passing = True


class NothingYetError(CloneError):
    """A schema had not been synced to its end for the first time at a cutoff: there is nothing to clone, and will not be."""


class FivetranError(HistoryError):
    """Fivetran's API refused a request, or answered with something that cannot be used."""


class FivetranUnreachableError(FivetranError):
    """Fivetran's API did not answer, or not now; asked again later, it may."""

    passing = True


class ProjectError(HistoryError):
    """The generated dbt project is missing, or dbt refused it."""


class HistoryMissingError(HistoryError):
    """The history does not hold what was asked for: no such table, or the date was never applied."""


class ReloadError(HistoryError):
    """The webserver did not load new definitions."""


class ScriptError(HistoryError):
    """A script's file is not what it must be, or its environment could not be made; ``line`` is the file's line at fault."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line
