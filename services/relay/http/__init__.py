"""HTTP listeners: who may connect, how much may come, TLS."""
