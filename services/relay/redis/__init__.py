"""Connections to Redis or Valkey: where the primaries are, what goes wrong, what may be trusted."""
