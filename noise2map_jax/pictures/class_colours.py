"""The colour of each class, the same in pictures and maps."""

import colorsys

# Black for background, then white, then the colours of Okabe and Ito, which people with any kind
# of colour vision can tell apart.
FIRST = (
    (0, 0, 0),
    (255, 255, 255),
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
GOLDEN_RATIO = 0.61803398875


def class_colours(num_classes: int) -> list[tuple[int, int, int]]:
    """Return a colour for each class.

    Args:
        num_classes: K; beyond nine classes, hues are spread by the golden ratio and get closer.

    Returns:
        K triples (red, green, blue) of 0 to 255; the first ones do not depend on K.
    """
    colours = list(FIRST[:num_classes])
    for k in range(len(FIRST), num_classes):
        lightness = (0.45, 0.6, 0.75)[k % 3]
        channels = colorsys.hls_to_rgb(k * GOLDEN_RATIO % 1, lightness, 0.65)
        red, green, blue = (round(255 * channel) for channel in channels)
        colours.append((red, green, blue))
    return colours
