"""Takaro's side of the conversation. Pure: nothing here knows of sockets or Redis."""
