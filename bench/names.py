"""The instances of a bench, as relay.toml, the mods and Takaro know them."""

REGISTRATION_TOKEN = "registration-token-of-the-bench"


def slug(number: int) -> str:
    return f"bench{number}"


def identity(number: int) -> str:
    return f"identity-of-{slug(number)}"


def mod_key(number: int) -> str:
    return f"mod-key-of-{slug(number)}-0123456789"


def block(number: int) -> str:
    """One [[instance]] of relay.toml, without that line."""
    return (
        f'slug = "{slug(number)}"\nname = "Server {number}"\n'
        f'identity_token = "{identity(number)}"\nmod_keys = ["{mod_key(number)}"]\n'
    )


def number_of(identity_token: str) -> int:
    return int(identity_token.removeprefix("identity-of-bench"))
