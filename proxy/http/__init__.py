"""The code that depends on aiohttp's undocumented interface.

`tests/http/test_contract.py` lists every name that is used, with the reason, and asserts its
signature, so that an incompatible upgrade of aiohttp fails in that one place.
"""
