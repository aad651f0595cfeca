"""A simulated Takaro: its WebSocket server for game servers, as strict as the real one."""
