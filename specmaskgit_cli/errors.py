"""The exceptions a user sees: the message is the whole explanation."""


class SmgError(Exception):
    """A problem the user can fix. The message names the value at fault and the fix; no traceback is shown."""

    exit_code = 1


class UsageError(SmgError):
    """A command or an option that was given wrongly, as opposed to work that failed."""

    exit_code = 2
