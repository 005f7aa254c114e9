"""Sets of addresses against the sets of Python: what ranges come to, whatever is taken together or away (S8.9)."""

from __future__ import annotations

import json
from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from croupier.core.policy.addresses import EVERY, Ranges, of_block, of_peers
from croupier.core.policy.catalogue import RULES
from croupier.core.policy.check import check
from croupier.spec.manifests import read_text

FOUR = st.tuples(st.integers(0, 63), st.integers(26, 32)).map(lambda each: f"192.0.2.{each[0]}/{each[1]}")
SIX = st.tuples(st.integers(0, 63), st.integers(122, 128)).map(lambda each: f"2001:db8::{each[0]:x}/{each[1]}")
RANGES = st.lists(FOUR | SIX, max_size=6)


def plainly(cidrs: list[str]) -> set[object]:
    return {address for cidr in cidrs for address in ip_network(cidr, strict=False)}


@given(RANGES, RANGES)
def test_sets_are_joined_and_cut_as_sets_are(some: list[str], others: list[str]) -> None:
    one, other = Ranges.of(*some), Ranges.of(*others)
    assert plainly(list((one | other).cidrs())) == plainly(some) | plainly(others)
    assert plainly(list((one - other).cidrs())) == plainly(some) - plainly(others)
    assert plainly(list((one & other).cidrs())) == plainly(some) & plainly(others)
    assert sum(one.sizes()) == len(plainly(some))
    assert bool(one) == bool(some)


@given(RANGES, RANGES)
def test_equal_sets_are_equal_however_they_were_written(some: list[str], others: list[str]) -> None:
    one, other = Ranges.of(*some), Ranges.of(*others)
    assert one | other == other | one == Ranges.of(*(one | other).cidrs())
    assert (one - other) | (one & other) == one


@given(FOUR | SIX, st.lists(FOUR, max_size=4), RANGES)
def test_a_block_is_its_range_without_its_exceptions(cidr: str, holes: list[str], more: list[str]) -> None:
    block = {"cidr": cidr, "except": holes}
    assert plainly(list(of_block(block).cidrs())) == plainly([cidr]) - plainly(holes)
    peers = [{"ipBlock": block}, {"podSelector": {}}, *({"ipBlock": {"cidr": each}} for each in more)]
    assert plainly(list(of_peers(peers).cidrs())) == (plainly([cidr]) - plainly(holes)) | plainly(more)


@given(st.integers(1, 8), st.booleans())
def test_halves_and_quarters_of_everything_are_everything(bits: int, six: bool) -> None:
    whole = "::/0" if six else "0.0.0.0/0"
    parts = Ranges.of(*map(str, ip_network(whole).subnets(prefixlen_diff=bits)))
    assert parts.cidrs() == (whole,)
    assert not parts - EVERY


BLOCK = st.fixed_dictionaries({"cidr": FOUR, "except": st.lists(FOUR, max_size=2)})


@given(
    st.lists(st.lists(BLOCK, min_size=1, max_size=3), min_size=1, max_size=3), st.lists(FOUR, min_size=1, max_size=3)
)
def test_what_is_beyond_the_declared_is_found_however_policies_share_it(
    policies: list[list[dict[str, object]]], declared: list[str]
) -> None:
    """N12, S8.9: what counts is the union of all policies of a pod, with the exceptions of each its own."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bets", "namespace": "a", "annotations": {"croupier.dev/egress": ", ".join(declared)}},
        "spec": {"containers": [{"name": "app"}]},
    }
    made = [
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": f"p{number}", "namespace": "a"},
            "spec": {
                "podSelector": {},
                "policyTypes": ["Egress"],
                "egress": [{"to": [{"ipBlock": block} for block in blocks]}],
            },
        }
        for number, blocks in enumerate(policies)
    ]
    read = read_text("\n---\n".join(map(json.dumps, [pod, *made])), "all.yaml")
    reached = {
        address
        for blocks in policies
        for block in blocks
        for address in plainly([str(block["cidr"])]) - plainly(list(block["except"]))
    }
    found = check(read.manifests, [RULES["egress-beyond"]])
    assert bool(found) == bool(reached - plainly(declared))
