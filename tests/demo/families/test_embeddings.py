from __future__ import annotations

import pytest

from proxy.demo.families.embeddings import embeddings
from proxy.demo.generation_request import InvalidRequestError
from proxy.demo.plan import Plan


@pytest.mark.parametrize(("given", "count"), [("a", 1), (["a", "b"], 2), ([1, 2, 3], 1)])
def test_inputs(given: object, count: int) -> None:
    """One text, several, or one list of token numbers."""
    made = embeddings({"model": "demo", "input": given}, Plan())
    assert [entry["index"] for entry in made["data"]] == list(range(count))


def test_dimensions() -> None:
    """The vectors are as long as asked for."""
    made = embeddings({"model": "demo", "input": "a", "dimensions": 5}, Plan())
    assert len(made["data"][0]["embedding"]) == 5


def test_no_input() -> None:
    """Without input there is nothing to embed."""
    with pytest.raises(InvalidRequestError, match="input"):
        embeddings({"model": "demo"}, Plan())
