"""Names of operations: the action is in the name, so that a result can be read without looking it up."""

import secrets

from services.relay.protocol.vocabulary import Action


def new_operation_id(action: Action) -> str:
    """A name that nobody else has or can guess, such as `giveItem-8f2c…`."""
    return f"{action}-{secrets.token_hex(12)}"


def action_of(operation_id: str) -> Action | None:
    """The action an operation id speaks of, None when it is not one of ours."""
    try:
        return Action(operation_id.partition("-")[0])
    except ValueError:
        return None
