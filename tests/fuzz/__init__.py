"""Requests that nobody should send, made from requests that are fine."""
