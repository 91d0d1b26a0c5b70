"""Names that are scored together: those that agree in the first group of a pattern."""

import re
from collections.abc import Sequence

from noise2map_jax.errors import UserError

OTHER = "other"  # the group of names in which the pattern finds nothing


def name_groups(names: Sequence[str], pattern: str, option: str) -> list[str]:
    """Return the group of each name.

    Args:
        names: such as ids of records, or of maps.
        pattern: a regular expression; its first group, found anywhere in a name, is the answer.
        option: what the user calls the pattern, for messages.

    Raises:
        UserError: the pattern is no regular expression, or has no group.
    """
    try:
        regex = re.compile(pattern)
    except re.error as error:
        raise UserError(f"{option} {pattern!r} is not a regular expression: {error}") from None
    if regex.groups < 1:
        raise UserError(f"{option} {pattern!r} has no group; write one in parentheses")
    matches = [regex.search(name) for name in names]
    return [(match and match.group(1)) or OTHER for match in matches]
