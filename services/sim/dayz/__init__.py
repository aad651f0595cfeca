"""A simulated DayZ server with the Takaro mod, in each of the three generations in use."""
