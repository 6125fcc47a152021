# SPDX-License-Identifier: Apache-2.0
"""The limits of a campaign against what its ledger holds: of all answers, of a round, of an image, of an image in a round."""
from collections.abc import Mapping
from typing import Any

from .budget import Limits
from .ledger_reader import LedgerReader, column_of
from .ledger_schema import BudgetExceeded


def check_spent(ledger: LedgerReader, unit: str, limits: Limits) -> None:
    """Raise BudgetExceeded if more than the limits is spent already."""
    by_image = [ledger.spent_by_image(unit, round=number) for number in ledger.rounds()]
    for limit, costs, of in (
            (limits.total, [ledger.spent()[column_of(unit)]], ''),
            (limits.in_round, [sum(found.values()) for found in by_image], ' of a round'),
            (limits.of_image, ledger.spent_by_image(unit).values(), ' of an image'),
            (limits.of_image_in_round, [cost for found in by_image for cost in found.values()], ' of an image in a round')):
        spent = max(costs, default=0)
        if limit is not None and _thousandths(spent) > _thousandths(limit):
            raise BudgetExceeded(f'{ledger.path}: {spent:g} {unit} are spent already, more than the '
                                 f'budget{of} of {limit:g}; raise the budget')


class BudgetGuard:
    """The limits of a campaign during one transaction, which adds to one round."""

    def __init__(self, ledger: LedgerReader, round: int) -> None:
        budget, limits = ledger.budget(), ledger.limits()
        self._unit = budget[0] if budget is not None else None
        # (limit, whether it is of every image, how its scope is called, what is spent by image; by '' for all images)
        self._limits: list[tuple[float, bool, str, dict[str, float]]] = []
        self._used_up: set[tuple[str, str]] = set()
        if self._unit is None:
            return
        unit, column = self._unit, column_of(self._unit)
        for limit, of_image, called, spent in (
                (limits.total, False, 'the campaign', lambda: {'': ledger.spent()[column]}),
                (limits.in_round, False, f'round {round}', lambda: {'': ledger.spent(round=round)[column]}),
                (limits.of_image, True, '', lambda: ledger.spent_by_image(unit)),
                (limits.of_image_in_round, True, f' in round {round}',
                 lambda: ledger.spent_by_image(unit, round=round))):
            if limit is not None:
                self._limits.append((limit, of_image, called, spent()))

    def take(self, row: Mapping[str, Any], within_budget: bool) -> bool:
        """Whether an entry fits; it is counted then."""
        if self._unit is None:
            return True
        cost = row[column_of(self._unit)]
        for limit, of_image, called, spent in self._limits:
            scope = row['key'] if of_image else ''
            total = spent.get(scope, 0) + cost
            if (called, scope) not in self._used_up and _thousandths(total) <= _thousandths(limit):
                continue
            if not within_budget:
                raise BudgetExceeded(f'the answers would bring {repr(scope) if of_image else ""}{called} to {total:g} '
                                     f'{self._unit}; its budget is {limit:g}. None of them was stored')
            self._used_up.add((called, scope))
            return False
        for _, of_image, _, spent in self._limits:
            scope = row['key'] if of_image else ''
            spent[scope] = spent.get(scope, 0) + cost
        return True


def _thousandths(value: float) -> int:
    """Sums of seconds are compared in milliseconds, without the rounding errors of floats."""
    return round(value * 1000)
