"""What run.json says of the link between processes, and what a resumed run makes of it."""

from __future__ import annotations

import pytest

from descend.runtime.together import link_record, use_recorded_link
from descend.training.processes import place
from descend.training.processes.all_reduce import Link
from descend.training.processes.place import Place


def test_a_run_goes_on_with_the_link_it_began_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """The link decides how gradients are summed, and so about the last bits of the weights."""
    today, then = Link(1e-3, 1e7), Link(2e-5, 5e9)
    monkeypatch.setattr(place.known, "link", today)
    assert link_record() == {"link": {"latency": 1e-3, "bandwidth": 1e7}}
    other_number = {"processes": 3, "link": then._asdict()}
    use_recorded_link(other_number, Place(0, 2))
    assert place.this_link() == today
    use_recorded_link({**other_number, "processes": 2}, Place(0, 2))
    assert place.this_link() == then
    # A run from before links were measured.
    use_recorded_link({"processes": 2}, Place(0, 2))
    assert (place.this_link(), link_record()) == (None, {})
