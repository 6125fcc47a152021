# SPDX-License-Identifier: Apache-2.0
"""How much may be asked: a hard limit for the whole campaign and its share for one round, at native resolution."""
from dataclasses import dataclass

UNITS = ('pixels', 'points')


@dataclass(frozen=True)
class Budget:
    """A limit on what is asked.

    Attributes:
        unit (str): ``'pixels'`` or ``'points'``; void answers count like any other.
        portion (float | None): limit as a share of all native pixels of the target training set, in (0, 1].
        amount (int | None): limit as a number, >= 0; give exactly one of the two.
        scope (str): ``'total'``, the limit of all rounds together, or ``'round'``, of every single round.
        per_round (str | None): with scope ``'total'``: None lets a round take all that is left; ``'equal_rest'``
            gives it what is left divided by the rounds left, rounded down.

    Raises:
        ValueError: if a field has another value.
    """
    unit: str = 'pixels'
    portion: float | None = None
    amount: int | None = None
    scope: str = 'total'
    per_round: str | None = 'equal_rest'

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f'budget unit is {self.unit!r}; expected one of {UNITS}')
        if (self.portion is None) == (self.amount is None):
            raise ValueError(f'budget has portion={self.portion} and amount={self.amount}; give exactly one of them, '
                             'or budget=None to ask for the whole mask')
        if self.portion is not None and (self.unit != 'pixels' or not 0.0 < self.portion <= 1.0):
            raise ValueError(f'budget portion is {self.portion} {self.unit}; expected a share of pixels in (0, 1]')
        if self.amount is not None and (int(self.amount) != self.amount or self.amount < 0):
            raise ValueError(f'budget amount is {self.amount}; expected a whole number >= 0')
        if self.scope not in ('total', 'round'):
            raise ValueError(f"budget scope is {self.scope!r}; expected 'total' or 'round'")
        if self.per_round not in (None, 'equal_rest'):
            raise ValueError(f"budget per_round is {self.per_round!r}; expected None or 'equal_rest'")

    def limit(self, total_pixels: int, num_rounds: int = 1) -> int:
        """The limit of the whole campaign, in units; a portion is rounded down."""
        single = int(self.amount) if self.amount is not None else int((self.portion or 0.0) * total_pixels)
        return single if self.scope == 'total' else single * num_rounds

    def allowance(self, total_pixels: int, spent: int, round: int, num_rounds: int) -> int:
        """What this round may ask at most, in units.

        Args:
            total_pixels (int): native pixels of the whole target training set.
            spent (int): units spent by earlier rounds.
            round (int): this round, from 1.
            num_rounds (int): rounds of the campaign.
        """
        left = max(0, self.limit(total_pixels, num_rounds) - spent)
        if self.scope == 'round':
            return min(left, self.limit(total_pixels, 1))
        if self.per_round is None:
            return left
        return left // max(1, num_rounds - round + 1)
