"""Runs the official conformance suite, which is a program of its own, against this server.

https://github.com/opencontainers/distribution-spec/tree/main/conformance
"""
