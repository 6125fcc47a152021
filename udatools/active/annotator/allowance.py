# SPDX-License-Identifier: Apache-2.0
"""What the answers to one request may cost where a campaign's budget is in clicks or seconds.

Pixels, points and regions are paid for once, whoever answers them; clicks and seconds are those of everybody. A request knows
what it was planned to cost when one person answers it, which no limit of the campaign is below. It does not know those
limits themselves; where every image has one of its own, only the sum of all images is watched here.
"""
from dataclasses import dataclass
from typing import Any

from ..request import Request

MEASURED = ('clicks', 'seconds')
_LEAST = 1e-3


@dataclass(frozen=True)
class Allowance:
    """A limit on clicks or seconds.

    Attributes:
        unit (str): ``'clicks'`` or ``'seconds'``.
        limit (float): of all answers to the request together.
        per_image (bool): every image has a limit of its own besides.
    """
    unit: str
    limit: float
    per_image: bool

    @classmethod
    def of(cls, request: Request, limit: float | None = None) -> 'Allowance | None':
        """Of a request: what it was planned to cost, or the limit that is given; None without either.

        Raises:
            ValueError: if a limit is given for a request that is not paid for in clicks or seconds.
        """
        budget = request.header.get('budget') or {}
        unit = budget.get('unit') if budget.get('limit') is not None else None
        if limit is not None and (unit not in MEASURED or limit <= 0):
            raise ValueError(f'the budget given is {limit:g}, that of the request is '
                             f'{"unlimited" if unit is None else f"in {unit}"}; expected an amount above 0 for a request with a '
                             f'budget in {" or ".join(MEASURED)}')
        limit = budget.get('planned') if limit is None else limit
        if unit not in MEASURED or limit is None:
            return None
        return cls(unit, limit, budget.get('per') == 'image')

    def reserve(self, longest: float) -> float:
        """What one more answer may cost: a click, or as many seconds as the longest so far."""
        return 1 if self.unit == 'clicks' else max(longest, _LEAST)

    def used_up(self, spent: float, longest: float) -> bool:
        """Whether one more answer may go over the limit."""
        return self.limit - spent < self.reserve(longest)

    def report(self, spent: float, longest: float) -> dict[str, Any]:
        """For the page: ``unit``, ``limit``, ``spent``, ``left`` and ``reserve``."""
        return dict(unit=self.unit, limit=self.limit, spent=round(spent, 3), left=round(self.limit - spent, 3),
                    reserve=self.reserve(longest))
