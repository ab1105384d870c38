"""The errors that the development tools raise."""


class DevelopmentError(Exception):
    """A tool cannot continue. The message says what happened and what to do; `exit_code` is the command's."""

    exit_code = 1


class MissingPrerequisiteError(DevelopmentError):
    """The machine lacks something that has to be installed or named first; nothing was changed."""

    exit_code = 2


class CommandFailedError(DevelopmentError):
    """A program that was run ended with a status other than 0."""
