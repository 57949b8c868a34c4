"""Replay recorded traffic through the production decision code in virtual time."""
