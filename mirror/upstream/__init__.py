"""Remote registries, read only: how to ask them, whom to trust on the way, when to stop asking.

Nothing here caches content; that is the registry's business.
"""
