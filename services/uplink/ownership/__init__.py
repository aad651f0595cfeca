"""Which uplink serves which instance: what is decided about it. Pure: times and dice are arguments."""
