"""Identity resolution: examples of each rule, and that customers are a pure function of the set of evidence."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from services.profile.identity import HUB_CUSTOMERS, LIMITS, resolve
from services.profile.model import Pair, Sighting, Statement
from shared.events.identifiers import Identifier, strength


def name(text: str) -> Identifier:
    kind = {"C": "customer_id", "L": "loyalty_card", "e": "email", "p": "phone", "d": "device_id"}[text[0]]
    return Identifier(kind, text)


def seen(at: int) -> Sighting:
    return Sighting(at, at, "test", str(at))


def edges(*links: str) -> dict[Pair, Sighting]:
    """Links such as "C1 e1", in the order of their times."""
    pairs = [tuple(map(name, link.split())) for link in links]
    return {(left, right): seen(at) for at, (left, right) in enumerate(pairs, 1)}


def customers(links: dict[Pair, Sighting], *statements: Statement) -> set[str]:
    nodes = {node for pair in links for node in pair}
    nodes |= {node for one in statements for node in (*one.left, *one.right)}
    return {" ".join(sorted(one.value for one in cluster)) for cluster in resolve(nodes, links, statements).clusters}


def link(at: int, *names: str) -> Statement:
    return Statement("link", seen(at), tuple(map(name, names)))


def split(at: int, left: str, *right: str) -> Statement:
    return Statement("split", seen(at), (name(left),), tuple(map(name, right)))


def test_what_is_seen_together_is_one_customer() -> None:
    assert customers(edges("C1 e1", "C1 p1", "e2 d1")) == {"C1 e1 p1", "d1 e2"}


def test_two_customer_ids_never_become_one_by_a_weak_identifier() -> None:
    links = edges("C1 e1", "C2 e1")
    assert customers(links) == {"C1 e1", "C2"}
    assert resolve({node for pair in links for node in pair}, links).refused == {
        (name("C2"), name("e1")): "customer_id_limit"
    }


def test_stronger_links_go_before_older_ones() -> None:
    assert customers(edges("C1 d1", "e1 d1", "C2 e1")) == {"C1 d1", "C2 e1"}


def test_an_email_of_three_customers_is_shared_and_links_nobody() -> None:
    family = edges("C1 e1", "C2 e1", "C3 e1")
    assert customers(family) == {"C1", "C2", "C3", "e1"}
    assert resolve({node for pair in family for node in pair}, family).shared == {name("e1")}


def test_a_shared_device_does_not_join_the_emails_beside_it() -> None:
    assert customers(edges("C1 d1", "C2 d1", "C3 d1", "e1 d1")) == {"C1", "C2", "C3", "d1", "e1"}


def test_accounts_that_are_linked_explicitly_share_nothing() -> None:
    family = edges("C1 e1", "C2 e1", "C3 e1")
    assert customers(family, link(9, "C1", "C2"), link(10, "C2", "C3")) == {"C1 C2 C3 e1"}


def test_an_identifier_of_very_many_customers_is_shared_for_good() -> None:
    ids = [f"C{number}" for number in range(HUB_CUSTOMERS)]
    crowd = edges(*(f"{id} e1" for id in ids))
    assert "e1" in customers(crowd, link(99, *ids))


def test_the_limit_of_a_kind_holds() -> None:
    links = edges(*(f"C1 e{number}" for number in range(LIMITS["email"] + 1)))
    assert customers(links) == {"C1 e0 e1 e2 e3 e4", "e5"}


def test_a_forced_link_exceeds_the_limit_and_does_not_hinder_weak_ones() -> None:
    assert customers(edges("C1 e1", "C2 e2"), link(9, "C1", "C2")) == {"C1 C2 e1 e2"}
    card = edges("L1 e1", "L1 e2", "L1 p1", "C1 d1", "L1 d1")
    assert customers(card, link(9, "C1", "C2")) == {"C1 C2 L1 d1 e1 e2 p1"}


def test_about_two_customers_the_latest_statement_wins() -> None:
    links = edges("C1 e1", "C2 e2")
    first, second, third = link(10, "C1", "C2"), split(11, "C2", "C1"), link(12, "C1", "C2")
    assert customers(links, first, second) == {"C1 e1", "C2 e2"}
    assert customers(links, third, first, second) == {"C1 C2 e1 e2"}


def test_a_split_takes_back_the_whole_link_that_it_contradicts() -> None:
    links = edges("C1 e1", "C2 e2")
    assert customers(links, link(10, "C1", "e1", "C2", "e2"), split(11, "C2", "C1")) == {"C1 e1", "C2 e2"}
    assert customers(links, link(10, "e1", "e2"), split(11, "C2", "C1")) == {"C1 e1", "C2 e2"}


def test_a_later_link_lifts_all_that_was_forbidden_between_the_two() -> None:
    links = edges("C1 e1", "C2 e2")
    parted = Statement("split", seen(11), (name("C2"), name("e2")), (name("C1"), name("e1")))
    assert customers(links, link(10, "C1", "C2"), parted, link(12, "e1", "e2")) == {"C1 C2 e1 e2"}


def test_a_forbidden_pair_is_not_joined_around_a_corner() -> None:
    assert customers(edges("e1 p1", "e2 p1"), split(9, "e1", "e2")) == {"e1 p1", "e2"}
    assert customers(edges("L1 e1", "L1 p1", "e2 p1"), split(9, "e1", "e2")) == {"L1 e1 p1", "e2"}


def test_an_identifier_split_from_nothing_named_leaves_all_it_was_seen_with_till_then() -> None:
    links = edges("C1 e1", "C1 p1")
    assert customers(links, split(9, "e1")) == {"C1 p1", "e1"}
    assert customers({**links, (name("C2"), name("e1")): seen(12)}, split(9, "e1")) == {"C1 p1", "C2 e1"}


NAMES = [name(text) for text in ("C1", "C2", "C3", "L1", "e1", "e2", "p1", "d1")]
some_edges = st.dictionaries(
    st.sets(st.sampled_from(NAMES), min_size=2, max_size=2).map(lambda two: tuple(sorted(two, key=strength))),
    st.integers(1, 30).map(seen),
    max_size=14,
)
some_names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True).map(tuple)
some_statements = st.lists(
    st.builds(Statement, st.sampled_from(("link", "split")), st.integers(1, 30).map(seen), some_names, some_names),
    max_size=4,
    unique=True,
)


@settings(max_examples=150, deadline=None)
@given(some_edges, some_statements, st.randoms(use_true_random=False))
def test_customers_are_a_pure_function_of_the_set_of_evidence(
    links: dict[Pair, Sighting], statements: list[Statement], shuffle: random.Random
) -> None:
    expected = resolve(NAMES, links, statements)
    nodes, pairs, again = list(NAMES), list(links.items()), list(statements)
    for some in (nodes, pairs, again):
        shuffle.shuffle(some)
    assert resolve(nodes, dict(pairs), again) == expected


@settings(max_examples=150, deadline=None)
@given(some_edges, some_statements)
def test_customers_are_disjoint_complete_and_within_limits(
    links: dict[Pair, Sighting], statements: list[Statement]
) -> None:
    clusters = resolve(NAMES, links, [one for one in statements if one.verdict == "split"]).clusters
    assert sorted(node for cluster in clusters for node in cluster) == sorted(NAMES)
    assert all(sum(node.kind == "customer_id" for node in cluster) <= 1 for cluster in clusters)
