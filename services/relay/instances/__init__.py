"""The instances: where they are defined, and what is known of each."""
