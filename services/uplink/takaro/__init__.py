"""Takaro's frames, arguments and rules. Pure: nothing here uses sockets or Redis."""
