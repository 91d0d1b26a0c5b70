"""The one exception for mistakes a user can mend: the command prints one line, exits with 2."""


class UserError(ValueError):
    """A wrong path, file or option; the message names it and says what was expected."""
