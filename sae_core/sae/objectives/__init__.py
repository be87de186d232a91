"""What training minimises, and its gradient in closed form over the active codes: one class for each family."""

from __future__ import annotations

from collections.abc import Sequence

from sae_core.config import Architecture, Gated, JumpRelu, ReluL1
from sae_core.sae.objectives.base import Objective
from sae_core.sae.objectives.base import Outcome as Outcome


def objective_of(members: Sequence[Architecture], size: int, halved: bool = False) -> Objective:
    """The objective of dictionaries with `size` latents each, trained as one where there are several.

    Args:
        members: of one kind; several only of the TopK family.
        size: latents of each.
        halved: screen in bf16 where the family can, see `screen`.
    """
    from sae_core.sae.objectives.gated import GatedObjective
    from sae_core.sae.objectives.jumprelu import JumpReluObjective
    from sae_core.sae.objectives.relu import ReluL1Objective
    from sae_core.sae.objectives.topk import Member, TopKObjective

    match members:
        case [ReluL1() as only]:
            return ReluL1Objective(only)
        case [Gated() as only]:
            return GatedObjective(only)
        case [JumpRelu() as only]:
            return JumpReluObjective(only)
        case _:
            family = [member for member in members if isinstance(member, Member)]
            assert len(family) == len(members)
            assert len({member.kind for member in family}) == 1
            return TopKObjective(family, size, halved)
