"""What the registry does: use cases over ports, asyncio and nothing of the web."""
