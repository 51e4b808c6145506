"""Telling webhooks of events: how a message looks, how it is signed, how it is sent."""
