"""Which instance a secret opens, and when none is needed."""

import hashlib

import pytest
from pydantic import SecretStr

from services.modapi.http.calls import Credentials
from services.relay.instances.definitions import merge
from services.relay.service.settings import Instance
from tests.support.ages import just_now


def instance(slug: str, *keys: str) -> Instance:
    return Instance(
        slug=slug,
        name=f"Server {slug}",
        identity_token=SecretStr(f"identity-{slug}"),
        mod_keys=tuple(SecretStr(key) for key in keys),
    )


ONE = instance("one", "key-of-one-0123456789", "second-key-of-one-01")
TWO = instance("two", "key-of-two-0123456789")


@pytest.mark.parametrize(
    ("secret", "slug"),
    [
        ("key-of-one-0123456789", "one"),
        ("second-key-of-one-01", "one"),
        ("key-of-two-0123456789", "two"),
        ("key-of-one-012345678", ""),
        ("identity-one", ""),
        (hashlib.sha256(b"key-of-one-0123456789").hexdigest(), ""),  # what Redis keeps is no key
        ("", ""),
        ("\ud800", ""),
    ],
)
def test_a_key_opens_its_own_instance_and_nothing_else_opens_any(secret: str, slug: str) -> None:
    assert Credentials(merge([ONE, TWO], {}, just_now).values(), loopback_only=True).slug_for(secret) == slug


@pytest.mark.parametrize("secret", ["", "identity-one", "key-of-one-0123456789"])
def test_a_single_server_on_loopback_needs_no_key(secret: str) -> None:
    assert Credentials(merge([ONE], {}, just_now).values(), loopback_only=True).slug_for(secret) == "one"


def test_a_wrong_key_is_refused_even_where_none_is_needed() -> None:
    assert Credentials(merge([ONE], {}, just_now).values(), loopback_only=True).slug_for("wrong") == ""


@pytest.mark.parametrize("secret", ["", "identity-one"])
def test_a_single_server_that_others_can_reach_needs_its_key(secret: str) -> None:
    assert Credentials(merge([ONE], {}, just_now).values(), loopback_only=False).slug_for(secret) == ""


def test_a_key_that_was_taken_away_is_known_until_it_opens_again() -> None:
    credentials = Credentials(merge([ONE, TWO], {}, just_now).values(), loopback_only=True)
    assert [credentials.slug_for("key-of-one-0123456789") for _ in range(2)] == ["one", "one"]
    credentials.replace(merge([TWO], {}, just_now).values())
    assert credentials.slug_for("key-of-one-0123456789") == ""
    assert credentials.former_slug_for("key-of-one-0123456789") == "one"
    assert credentials.former_slug_for("key-of-two-0123456789") == credentials.former_slug_for("wrong") == ""
    credentials.replace(merge([ONE, TWO], {}, just_now).values())
    assert credentials.former_slug_for("key-of-one-0123456789") == ""


def test_a_registration_token_identifies_the_only_server_that_has_it() -> None:
    tokens = {"one": "of-the-fleet", "two": "of-the-fleet", "three": "its-own"}
    served = [
        instance(slug, f"key-of-{slug}-0123456789").model_copy(
            update={"registration_token": SecretStr(token)}
        )
        for slug, token in tokens.items()
    ]
    credentials = Credentials(merge(served, {}, just_now).values(), loopback_only=False)
    assert credentials.slug_of_token("its-own") == "three" and credentials.slug_for("its-own") == ""
    assert credentials.slug_of_token("of-the-fleet") == credentials.slug_of_token("nobody's") == ""
