"""The command ``history-assets``: the command line in a process of its own.

Belongs here: what it takes to be stopped in one line from the first moment on. Does not belong here: any command.
"""

import sys

from history_assets.interrupts import STOPPED, STOPPED_CODE, noticed


def program() -> None:
    """Run the command line, and end at once with its exit code."""
    process = None
    try:
        with noticed():
            from history_assets.own_process import DBT, PANDAS, OwnProcess

            process = OwnProcess(without=(DBT, PANDAS))
            from history_assets.cli import main  # which takes long enough to be stopped in

            main()
    except (KeyboardInterrupt, SystemExit) as end:
        code = STOPPED_CODE if isinstance(end, KeyboardInterrupt) else end.code
        if code == STOPPED_CODE:  # which typer makes of being stopped, without a word
            sys.stderr.write(f"{STOPPED}\n")
        if process:
            process.code = code if isinstance(code, int) else 0 if code is None else None
        sys.exit(code)
