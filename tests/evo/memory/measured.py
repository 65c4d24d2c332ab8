"""The most memory that tensors take on a CPU, measured by torch's profiler: a second source, which knows no ``LiveBytes``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch._C._profiler import _EventType
from torch.profiler import ProfilerActivity, profile


class Peak(NamedTuple):
    """Bytes that torch's allocator held at most beyond what it held before.

    Attributes:
        tensors: without what single operations took and gave back; ``all``: with it.
    """

    tensors: int
    all: int


class Change(NamedTuple):
    """Memory that is taken (``size`` above zero) or given back; ``end``: when the operation is over in which it happens."""

    time: int
    address: int
    size: int
    end: int


def measured_peak(work: Callable[[], object]) -> Peak:
    """The peak of ``work``."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    assert profiler.profiler is not None
    changes: list[Change] = []
    for event in profiler.profiler.kineto_results.experimental_event_tree():
        _collect(event, 0, changes)
    assert len(changes) > 10, "the profiler has seen no memory"
    changes.sort()
    inside = _given_back_at_once(changes)
    lasting = [change.size for place, change in enumerate(changes) if place not in inside]
    return Peak(_highest(lasting), _highest([change.size for change in changes]))


def _collect(event: Any, end: int, changes: list[Change]) -> None:
    """What happens in an event; ``end``: when the outermost of torch's operations around it is over, 0: there is none."""
    if event.tag == _EventType.Allocation:
        fields = event.extra_fields
        changes.append(Change(event.start_time_ns, fields.ptr, fields.alloc_size, end))
    if not end and event.name.startswith("aten::"):
        end = event.start_time_ns + event.duration_time_ns
    for child in event.children:
        _collect(child, end, changes)


def _given_back_at_once(changes: list[Change]) -> set[int]:
    """The places of what an operation takes and gives back before it is over."""
    taken: dict[int, tuple[int, Change]] = {}
    inside: set[int] = set()
    for place, change in enumerate(changes):
        if change.size > 0:
            taken[change.address] = place, change
        elif change.address in taken:
            when, first = taken.pop(change.address)
            if change.time <= first.end:
                inside |= {when, place}
    return inside


def _highest(sizes: list[int]) -> int:
    held = highest = 0
    for size in sizes:
        held += size
        highest = max(highest, held)
    return highest
