"""The dynamic LoRA adapter syncer: it keeps the adapters a vLLM server has loaded as a mounted file says.

``run`` is the command. Inside, ``plan`` compares a configuration with what a server lists, ``Reconciler`` carries a
plan out over vLLM's API, and ``SyncLoop`` decides when: at the start, when the file changes, every few seconds, and
when the back-off of an adapter that failed is over.
"""

from signalbox.adapters.command import BadArguments, parse_arguments, run

__all__ = ["BadArguments", "parse_arguments", "run"]
