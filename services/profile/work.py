"""The components that one batch touches: loaded before, replaced event by event, saved after."""

from collections.abc import Iterable

from services.profile.model import Component, State, identifiers_in
from shared.events.envelope import Event
from shared.events.identifiers import Identifier
from shared.events.interactions import BEGIN, END


class Work:
    """A batch's view of the evidence. It remembers what changed and which events were applied."""

    def __init__(self, components: Iterable[Component] = ()) -> None:
        self.loaded = {component.id: component for component in components}
        self.components = dict(self.loaded)
        self.events: list[Event] = []
        self._home: dict[Identifier, str] = {}
        for component in self.loaded.values():
            self._index(component)

    def part(self, event: Event) -> State:
        """The components of all identifiers that an event names."""
        ids = dict.fromkeys(self._home[name] for name in identifiers_in(event) if name in self._home)
        return State(tuple(self.components[id] for id in ids))

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
        if after.cause is not None and after.cause.type not in (BEGIN, END):
            self.events.append(after.cause)

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
