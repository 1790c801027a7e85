"""What a collection costs, and where it ends."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from baize_train.speakers.usage import Usage


class Prices(Struct, frozen=True):
    """Money per million tokens."""

    prompt: float = 0.0
    completion: float = 0.0

    def cost(self, usage: Usage) -> float:
        return (usage.prompt * self.prompt + usage.completion * self.completion) / 1e6


class Budget(Struct, frozen=True):
    """When a collection ends; None is no limit.

    Dialogues and tokens and money count what earlier runs of the same file took, minutes do not.
    """

    dialogues: int | None = None
    tokens: int | None = None
    money: float | None = None
    minutes: float | None = None


class Outlook(Struct, frozen=True):
    """What was spent, and what the dialogues in progress will still take."""

    budget: Budget
    prices: Prices
    spent: Usage
    expected: Usage
    """Of one dialogue."""
    running: Sequence[Usage]
    """What each dialogue in progress has taken so far."""

    def allows_another(self) -> bool:
        """Whether the budget has room for one more dialogue."""
        if not self.running and not self.spent.total:
            # How much a dialogue takes is known only after the first one.
            return self.budget.tokens != 0 and self.budget.money != 0
        to_come = Usage()
        for usage in self.running:
            rest = self.expected.minus(usage)
            to_come.count(rest.prompt, rest.completion)
        total = Usage(
            self.spent.prompt + to_come.prompt + self.expected.prompt,
            self.spent.completion + to_come.completion + self.expected.completion,
        )
        return (self.budget.tokens is None or total.total <= self.budget.tokens) and (
            self.budget.money is None or self.prices.cost(total) <= self.budget.money
        )
