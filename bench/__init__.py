"""Side by side with peers, in one run and in alternation: ratios, not times.

`python -m bench` runs everything, `python -m bench --only manifests` one scenario. It needs wrk;
nginx and docker-registry (distribution 2.8) are used where they are installed, and distribution
v3 where a Go toolchain can provide it. Servers listen on loopback.
"""
