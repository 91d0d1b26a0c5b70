"""The one exception for mistakes a user can mend: programs print it as one line and exit with 2."""


class UserError(ValueError):
    """A wrong path, name, shape or number; the message names it and says what was expected."""
