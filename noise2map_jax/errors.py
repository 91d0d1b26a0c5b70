"""`UserError`, the one exception for mistakes that a user can mend.

Programs print its message as one line and exit with code 2.
"""


class UserError(ValueError):
    """A wrong path, name, shape or number; the message names it and says what was expected."""
