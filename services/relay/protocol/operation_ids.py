"""Ids of operations. An id begins with the action, so a result can be read without a look-up of its
command."""

import secrets

from services.relay.protocol.vocabulary import Action


def new_operation_id(action: Action) -> str:
    """A unique id that nobody can guess, such as `giveItem-8f2c…`."""
    return f"{action}-{secrets.token_hex(12)}"


def action_of(operation_id: str) -> Action | None:
    """The action in an operation id, None if the id is not one of ours."""
    try:
        return Action(operation_id.partition("-")[0])
    except ValueError:
        return None
