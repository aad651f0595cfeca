"""What mods write and what they can read. Pure: nothing here knows of HTTP or Redis."""
