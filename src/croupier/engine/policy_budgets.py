"""The use case behind ``croupier policy budgets``: files -> what workloads ask together, and what there is."""

from __future__ import annotations

from collections.abc import Iterable

from croupier.core.policy.fingerprint import written
from croupier.core.policy.fleet import budgets
from croupier.core.policy.sums import Budget
from croupier.engine.policy import whole_world
from croupier.model.policy import BudgetPart, BudgetReport, BudgetView


def fleet(files: Iterable[str]) -> BudgetReport:
    """Every sum that something in ``files`` bounds, those that fit too.

    Raises ``SpecError`` if a file cannot be read: a sum of half the fleet is none.
    """
    views = tuple(_budget(each) for each in budgets(whole_world(files)))
    over = [each for each in views if not each.fits]
    return BudgetReport(budgets=views, over=len(over), first=over[0] if over else None)


def _budget(each: Budget) -> BudgetView:
    return BudgetView(
        rule=each.rule,
        object=each.made_by.manifest.name,
        path=written(each.path),
        resource=each.resource,
        sum=each.asked,
        limit=each.room,
        share=each.asked / each.room if each.room else None,
        fits=each.fits,
        parts=tuple(
            BudgetPart(
                name=part.name,
                pods=part.peak.pods,
                surge=part.peak.surge,
                draining=part.peak.draining,
                processes=part.processes,
                each=part.each,
                sum=part.size,
            )
            for part in each.largest
        ),
        unsaid=each.unsaid,
        told=each.told,
    )
