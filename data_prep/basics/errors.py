"""The exception for mistakes that a user can mend: the command prints its line and exits with 2."""


class UserError(ValueError):
    """A path, file or option is wrong; the message names it and says what was expected."""
