"""The components that one batch touches: loaded before, replaced event by event, saved after."""

from collections.abc import Iterable, Mapping

from services.profile.erasing import admitted
from services.profile.model import Component, Forgotten, State, identifiers_in, own_id
from shared.events.envelope import Event
from shared.events.erasures import REMOVED, REQUESTED, digest_of, erasure_in
from shared.events.identifiers import Identifier
from shared.events.interactions import BEGIN, END
from shared.events.times import to_ms

_MARKS = (BEGIN, END, REQUESTED, REMOVED)
"""What stands on no timeline."""


class Work:
    """A batch's view of the evidence. It remembers what changed and which events were applied.

    `erased` are the names mentioned in it that are on the list of the erased: digests, with the moment (ms).
    """

    def __init__(self, components: Iterable[Component] = (), erased: Mapping[str, int] | None = None) -> None:
        self.loaded = {component.id: component for component in components}
        self.components = dict(self.loaded)
        self.events: list[Event] = []
        self.erased = dict(erased or {})
        self.erasures: list[State] = []
        self.removals: list[Event] = []
        self._home: dict[Identifier, str] = {}
        for component in self.loaded.values():
            self._index(component)

    def part(self, event: Event) -> State:
        """The components of all identifiers that an event names, or of the customer whom it erases."""
        if event.type == REQUESTED:
            return State(tuple(self._holding(erasure_in.decode(event.data).profile_id)))
        names = identifiers_in(event)
        ids = dict.fromkeys(self._home[name] for name in names if name in self._home)
        return State(tuple(self.components[id] for id in ids), erased=self._erased(names))

    def _holding(self, profile_id: str) -> Iterable[Component]:
        for component in self.components.values():
            if any(own_id(name, node.anew) == profile_id for name, node in component.nodes.items()):
                yield component

    def _erased(self, names: Iterable[Identifier]) -> Mapping[Identifier, int]:
        if not self.erased:
            return {}
        found = ((name, self.erased.get(digest_of(name))) for name in names)
        return {name: at for name, at in found if at is not None}

    def replace(self, before: State, after: State) -> None:
        """Put the evolved components in the place of the former and remember the event for the timeline."""
        known = {component.id: component for component in before.components}
        for component in after.components:
            former = known.pop(component.id, None)
            self.components[component.id] = component
            if former is None or len(former.nodes) != len(component.nodes):
                self._index(component)
        for id in known:
            del self.components[id]
        if after.cause is None:
            return
        if after.cause.type not in _MARKS:
            self.events.append(after.cause)
        elif after.forgotten is not None:
            self.erasures.append(after)
            self._forget(after.forgotten, to_ms(after.cause.time))
        elif after.cause.type == REMOVED:
            self.removals.append(after.cause)

    def _forget(self, gone: Forgotten, at: int) -> None:
        out = dict.fromkeys(gone.identifiers, at)
        self.events = [left for one in self.events if (left := admitted(one, out)) is not None]
        for name in gone.identifiers:
            self._home.pop(name, None)
        self.erased.update({name: max(at, self.erased.get(name, 0)) for name in gone.named})

    def changed(self) -> list[Component]:
        """The components that are not as they were loaded, in the order of their ids."""
        changed = [one for id, one in self.components.items() if self.loaded.get(id) is not one]
        return sorted(changed, key=lambda component: component.id)

    def gone(self) -> list[str]:
        """The ids of the components that went into others, in order."""
        return sorted(self.loaded.keys() - self.components.keys())

    def _index(self, component: Component) -> None:
        for name in component.nodes:
            self._home[name] = component.id


def erased_in(events: Iterable[Event]) -> list[str]:
    """The profile ids that events ask to erase."""
    return sorted({erasure_in.decode(one.data).profile_id for one in events if one.type == REQUESTED})
