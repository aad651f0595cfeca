"""The instances: where they are defined, and what Redis knows of each."""
