"""Runs other programs and turns their failures into errors that contain their output."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from stablehand_dev.errors import CommandFailedError, MissingPrerequisiteError

_KEPT_LINES = 30


def run(
    command: Sequence[str | Path],
    *,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
) -> str:
    """Run a program to its end and return its standard output.

    Args:
        command: the program and its arguments; never given to a shell.
        stdin: text for its standard input; none by default.
        environment: variables on top of this process's own.
        cwd: the directory to run it in.
        timeout: seconds after which it is killed; unlimited by default.

    Raises:
        MissingPrerequisiteError: the program is not there.
        CommandFailedError: it exited with a status other than 0 or not in time; the text has its last lines.
    """
    arguments = [str(part) for part in command]
    try:
        finished = subprocess.run(
            arguments,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, **(environment or {})},
            cwd=cwd,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise MissingPrerequisiteError(f"{arguments[0]}: this program is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailedError(f"{_shown(arguments)} did not end within {timeout:g} s") from error
    if finished.returncode != 0:
        said = _last_lines(finished.stderr) or _last_lines(finished.stdout)
        raise CommandFailedError(f"{_shown(arguments)} ended with status {finished.returncode}:\n{said}")
    return finished.stdout


def run_logged(
    command: Sequence[str | Path],
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run a long program with all its output in a log file, which an error then names and quotes.

    Raises:
        MissingPrerequisiteError: the program is not there.
        CommandFailedError: it exited with a status other than 0.
    """
    arguments = [str(part) for part in command]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as output:
        try:
            finished = subprocess.run(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=cwd,
                check=False,
            )
        except FileNotFoundError as error:
            raise MissingPrerequisiteError(f"{arguments[0]}: this program is not installed") from error
    if finished.returncode != 0:
        raise CommandFailedError(
            f"{_shown(arguments)} ended with status {finished.returncode}; the whole log is {log}:\n{tail(log)}"
        )


def tail(log: Path) -> str:
    """Return the last lines of a log file, or a sentence when there is none."""
    if not log.exists():
        return f"({log} does not exist)"
    return _last_lines(log.read_text(encoding="utf-8", errors="replace"))


def _last_lines(text: str) -> str:
    return "\n".join(text.rstrip().splitlines()[-_KEPT_LINES:])


def _shown(arguments: Sequence[str]) -> str:
    text = " ".join(arguments)
    return text if len(text) <= 200 else text[:197] + "..."  # noqa: PLR2004 - a readable line, nothing depends on it
