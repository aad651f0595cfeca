"""Reads what mods write, and writes what they can read. Pure: nothing here uses HTTP or Redis."""
