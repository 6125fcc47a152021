# SPDX-License-Identifier: Apache-2.0
"""How much may be asked: a hard limit for the whole campaign and its share for one round, at native resolution."""
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from fractions import Fraction
from math import ceil
from typing import Any

from .costs import CostModel
from .image_questions import CLASS_POINTS, IMAGE_KINDS

UNITS = ('pixels', 'points', 'regions', 'clicks', 'seconds')
#: Whole steps that a unit is counted in while a budget is cut; seconds are counted in milliseconds.
STEPS = {'seconds': 1000}


@dataclass(frozen=True)
class Limits:
    """Hard limits of a campaign, all in one unit; None where there is none.

    Attributes:
        total (float | None): of all answers together.
        in_round (float | None): of those of every single round.
        of_image (float | None): of those to every single image.
        of_image_in_round (float | None): of those to every single image in every single round.
    """
    total: float | None = None
    in_round: float | None = None
    of_image: float | None = None
    of_image_in_round: float | None = None


@dataclass(frozen=True)
class Budget:
    """A limit on what is asked.

    A selection plans with one click a point, region or connected component, and with all classes for a question about an image;
    what a person really needs is counted when it is answered.

    Attributes:
        unit (str): ``'pixels'``, ``'points'``, ``'regions'`` (points, regions, connected components, or images where
            questions are about images), ``'clicks'`` or ``'seconds'`` (estimated with ``costs``); void answers count like
            any other.
        portion (float | None): limit as a share of all native pixels of the target training set, in (0, 1].
        amount (int | None): limit as a number, >= 0; give exactly one of the two.
        scope (str): ``'total'``, the limit of all rounds together, or ``'round'``, of every single round.
        per_round (str | None): with scope ``'total'``: None lets a round take all that is left; ``'equal_rest'``
            gives it what is left divided by the rounds left, rounded down.
        per (str): ``'set'``: the limit is of the target training set; ``'image'``: of each of its images, kept image by
            image (a portion is of its own pixels).
        costs (Mapping | None): arguments of :class:`udatools.active.costs.CostModel`, for seconds.

    Raises:
        ValueError: if a field has another value.
    """
    unit: str = 'pixels'
    portion: float | None = None
    amount: int | None = None
    scope: str = 'total'
    per_round: str | None = 'equal_rest'
    per: str = 'set'
    costs: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f'budget unit is {self.unit!r}; expected one of {UNITS}')
        if (self.portion is None) == (self.amount is None):
            raise ValueError(f'budget has portion={self.portion} and amount={self.amount}; give exactly one of them, '
                             'or budget=None to ask for the whole mask')
        if self.portion is not None and (self.unit != 'pixels' or not 0.0 < self.portion <= 1.0):
            raise ValueError(f'budget portion is {self.portion} {self.unit}; expected a share of pixels in (0, 1]')
        if self.amount is not None and not _is_count(self.amount):
            raise ValueError(f'budget amount is {self.amount!r}; expected a whole number >= 0')
        if self.scope not in ('total', 'round'):
            raise ValueError(f"budget scope is {self.scope!r}; expected 'total' or 'round'")
        if self.per_round not in (None, 'equal_rest'):
            raise ValueError(f"budget per_round is {self.per_round!r}; expected None or 'equal_rest'")
        if self.per not in ('set', 'image'):
            raise ValueError(f"budget per is {self.per!r}; expected 'set' or 'image'")
        if self.costs is not None and self.unit != 'seconds':
            raise ValueError(f"budget costs are given for {self.unit}; they are used with unit='seconds' only")
        self.cost_model()

    @property
    def steps(self) -> int:
        """Whole steps of one unit that cuts are made in: 1000 for seconds, else 1."""
        return STEPS.get(self.unit, 1)

    def cost_model(self) -> CostModel:
        """The estimate of seconds."""
        return CostModel(**(self.costs or {}))

    def settings(self) -> dict[str, Any]:
        """JSON-able fields. Fields that came after the first release are left out at their default: a round that is
        paid for stays the same round after an upgrade."""
        later = {field.name: field.default for field in fields(self) if field.name in ('per', 'costs')}
        return {name: value for name, value in asdict(self).items() if name not in later or value != later[name]}

    def check_kind(self, kind: str) -> None:
        """Raise ValueError if requests of this kind are not counted in the unit of the budget."""
        if self.unit == 'pixels' and kind in IMAGE_KINDS:
            raise ValueError(f'the budget is in pixels, the selector asks whole images ({kind}), which are not answered by '
                             'pixels that it chose; give a budget in clicks, seconds or regions (images)')
        if self.unit == 'points' and kind not in ('points', CLASS_POINTS):
            raise ValueError(f"the budget is in points, the selector asks for {kind}; choose a selector of "
                             "kind='points', or a budget in pixels, regions, clicks or seconds")

    def limit(self, total_pixels: int, num_rounds: int = 1) -> int:
        """The limit of the whole campaign, in units; a portion is rounded down.

        Args:
            total_pixels (int): native pixels of the set, or with ``per='image'`` of the image.
            num_rounds (int): rounds of the campaign.
        """
        single = int(self.amount) if self.amount is not None else int(Fraction(str(self.portion)) * total_pixels)
        return single if self.scope == 'total' else single * num_rounds

    def limits(self, total: float, total_pixels: int, num_rounds: int) -> Limits:
        """What answers are held to: clicks and seconds are measured, whatever a selection planned.

        Args:
            total (float): limit of the whole campaign, in units.
            total_pixels (int): native pixels of the target training set.
            num_rounds (int): rounds of the campaign.
        """
        by_round = self.scope == 'round'
        if self.per == 'set':
            return Limits(total, in_round=self.limit(total_pixels) if by_round else None)
        if self.portion is not None:  # of each image's own pixels: planned exactly
            return Limits(total)
        return Limits(total, of_image=self.limit(0, num_rounds), of_image_in_round=self.limit(0) if by_round else None)

    def allowance(self, total_pixels: int, spent: float, round: int, num_rounds: int) -> int:
        """What this round may ask at most, in :attr:`steps`: in units, for seconds in milliseconds.

        Args:
            total_pixels (int): native pixels of the whole target training set, or with ``per='image'`` of the image.
            spent (float): units spent by earlier rounds, on the set or on the image.
            round (int): this round, from 1.
            num_rounds (int): rounds of the campaign.
        """
        # Sums of seconds carry rounding errors far below a step; what is left of a step counts as spent.
        spent_steps = ceil(spent * self.steps - 1e-6)
        left = max(0, self.limit(total_pixels, num_rounds) * self.steps - spent_steps)
        if self.scope == 'round':
            return min(left, self.limit(total_pixels, 1) * self.steps)
        if self.per_round is None:
            return left
        return left // max(1, num_rounds - round + 1)


def _is_count(value: Any) -> bool:
    """Whether something is a whole number of at least 0."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0 and float(value).is_integer()
