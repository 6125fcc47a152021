# SPDX-License-Identifier: Apache-2.0
"""How evenly questions are spread over the classes."""
import math
from collections.abc import Iterable


def normalised_entropy(counts: Iterable[float], num_classes: int) -> float:
    """How even a class histogram is: its Shannon entropy divided by that of the uniform one.

    Args:
        counts (Iterable[float]): pixels of each class, >= 0; classes that are left out have none.
        num_classes (int): C, >= 2.

    Returns:
        float: ``-sum p log p / log C`` in [0, 1]: 0 for one class alone, 1 for all alike; NaN without a pixel.

    Raises:
        ValueError: for a negative count, more than ``num_classes`` counts, or fewer than two classes.

    Example:
        >>> normalised_entropy([5, 5, 5, 5], 4), normalised_entropy([7, 7], 4)
        (1.0, 0.5)
    """
    values = [float(count) for count in counts]
    if num_classes < 2 or len(values) > num_classes or min(values, default=0.0) < 0:
        raise ValueError(f'got the counts {values} for {num_classes} classes; expected numbers >= 0, one a class at most, '
                         'and two classes or more')
    total = sum(values)
    if total == 0:
        return math.nan
    shares = [value / total for value in values if value > 0]
    return min(1.0, abs(sum(share * math.log(share) for share in shares)) / math.log(num_classes))
