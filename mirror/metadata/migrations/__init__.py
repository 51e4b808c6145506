"""How the tables came to be as ``mirror.metadata.schema`` has them; run by Alembic.

Only forward. A migration that was released is never changed.
"""
