"""Snowflake's errors, with the numbers, states and texts that a client sees."""


class SnowflakeError(Exception):
    """An error as the server answers it: six digits, a SQL state, a message."""

    def __init__(self, code: str, state: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.state = state
        self.message = message


def compilation_error(code: str, state: str, message: str) -> SnowflakeError:
    return SnowflakeError(code, state, f"SQL compilation error:\n{message}")


def syntax_error(message: str) -> SnowflakeError:
    return compilation_error("001003", "42000", message)


def does_not_exist(kind: str, name: str) -> SnowflakeError:
    """A missing database or schema, a missing or hidden table: Snowflake does not say which."""
    state = "42S02" if kind == "Object" else "02000"
    return compilation_error("002003", state, f"{kind} '{name}' does not exist or not authorized.")


def did_not_exist(name: str) -> SnowflakeError:
    """Asked for as of an instant before it was created."""
    return compilation_error("002003", "02000", f"Object '{name}' does not exist.")


def beyond_time_travel(kind: str, name: str) -> SnowflakeError:
    return SnowflakeError(
        "000707",
        "02000",
        f"Time travel data is not available for {kind} {name}. "
        "The requested time is either beyond the allowed time travel period or before the object creation time.",
    )


def already_exists(name: str) -> SnowflakeError:
    return compilation_error("002002", "42710", f"Object '{name}' already exists.")


def insufficient_privileges(kind: str, name: str) -> SnowflakeError:
    return SnowflakeError(
        "003001", "42501", f"SQL access control error:\nInsufficient privileges to operate on {kind} '{name}'"
    )


def no_warehouse() -> SnowflakeError:
    return SnowflakeError(
        "000606",
        "57P03",
        "No active warehouse selected in the current session.  Select an active warehouse with the 'use warehouse' command.",
    )


def no_current(kind: str) -> SnowflakeError:
    """An unqualified name in a session without a current database or schema."""
    code = "090105" if kind == "database" else "090106"
    return SnowflakeError(
        code,
        "22000",
        f"Cannot perform operation. This session does not have a current {kind}. "
        f"Call 'USE {kind.upper()}', or use a qualified name.",
    )


def permanent_from_transient() -> SnowflakeError:
    return SnowflakeError("002120", "0A000", "SQL compilation error: Transient object cannot be cloned to a permanent object.")


def unsupported(what: str) -> SnowflakeError:
    """Snowflake would do this; the emulator cannot."""
    return SnowflakeError("009999", "0A000", f"The Snowflake emulator does not know: {what}")
