"""The client side's connections: the only room that goes below aiohttp's documented interface.

What is relied on, each name with its reason, stands in `tests/http/test_contract.py`, which asserts
that it is there with the signature that is expected: an upgrade of aiohttp fails in that one place.
"""
