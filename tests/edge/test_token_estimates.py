"""What a request is expected to take."""

from __future__ import annotations

from proxy.edge.token_estimates import Estimates, Expected


def test_before_anything_is_known() -> None:
    """Four bytes a token, and what the request allows itself, for each choice."""
    assert Estimates().expected("m", 400, 10, 2) == Expected(100, 20)
    assert Estimates().expected("m", 400, 0, 1).output > 0


def test_learned_from_what_has_ended() -> None:
    """The model's own ratio and mean, of which the newest counts for a fifth."""
    estimates = Estimates()
    estimates.learn("m", 1000, Expected(500, 100), 1)
    assert estimates.expected("m", 100, 0, 1) == Expected(50, 100)
    estimates.learn("m", 1000, Expected(500, 200), 1)
    assert estimates.expected("m", 100, 0, 1) == Expected(50, 120)
    assert estimates.expected("other", 100, 0, 1) == Expected(25, 256)


def test_names_are_the_clients_to_choose() -> None:
    """So many are remembered, and the oldest forgotten."""
    estimates = Estimates()
    for number in range(3000):
        estimates.learn(str(number), 10, Expected(5, 5), 1)
    assert len(estimates._models) == 1024


def test_an_answer_of_several_choices() -> None:
    """It teaches how long each of them is: one asked alone later is not expected to be as long."""
    estimates = Estimates()
    estimates.learn("m", 100, Expected(20, 300), 3)
    assert estimates.expected("m", 100, 0, 1).output == 100
    assert estimates.expected("m", 100, 0, 2).output == 200


def test_what_a_request_is_expected_to_use_of_a_keys_tokens() -> None:
    """Input and output together."""
    assert Expected(3, 4).tokens == 7
