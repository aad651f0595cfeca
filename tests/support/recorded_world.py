"""A simulated game that remembers the operations that were run on it."""

from dataclasses import dataclass
from typing import Any

from services.sim.dayz.world import ACTIONS, World


@dataclass(frozen=True, slots=True)
class Effect:
    """One operation that was run. The same `operation_id` twice means that a command ran twice."""

    operation_id: str
    action: str
    args: dict[str, Any]


class RecordedWorld(World):
    """`operation_id` is that of the operation that runs."""

    def __init__(self) -> None:
        super().__init__()
        self.operation_id = ""
        self.effects: list[Effect] = []
        self.messages: list[tuple[str, str]] = []  # (recipient gameId or "", text)
        self.console: list[str] = []
        self.shutting_down = False

    def perform(self, action: str, args: dict[str, Any]) -> Any:
        if action in ACTIONS:
            self.effects.append(Effect(self.operation_id, action, args))
        value = super().perform(action, args)
        match action:
            case "sendMessage":
                self.messages.append((args["gameId"], args["message"]))
            case "executeConsoleCommand":
                self.console.append(args["command"])
            case "shutdown":
                self.shutting_down = True
        return value

    def ran(self, action: str) -> list[Effect]:
        return [effect for effect in self.effects if effect.action == action]
