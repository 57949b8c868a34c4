"""Processes that a run measures against: bare ext_proc servers, and a model server that streams."""
