"""A simulated Takaro: the connector's WebSocket server, as strict as the real one, able to misbehave."""
