"""The benchmark: what a request costs in the picker, in Envoy and in what a user would pick instead.

``python -m bench`` measures the picker beside bare transports, ``python -m bench.peers`` the whole gateway beside
other gateways, ``python -m bench.trials`` the same request under different settings of Envoy's ext_proc filter.
Everything that is compared takes turns within one run, several short rounds each, so that a machine that grows slower
is slower for all.
"""
