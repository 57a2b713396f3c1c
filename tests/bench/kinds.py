"""What is measured of an orchestrator's clusters: its two sides, and what they are held to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.bench.place import Place
from tests.bench.runs import Milestones, Run


@dataclass(frozen=True)
class Kind:
    """One orchestrator's bench. `more` is what is run after a create, and `aim` the ratio that is aimed at."""

    coe: str
    aim: float
    sizes: Sequence[int]
    more: str
    milestones: Milestones
    by_script: Callable[[Place, int], Run]
    by_carina: Callable[[Place, int], Run]
    join_aim_ms: float | None = None
