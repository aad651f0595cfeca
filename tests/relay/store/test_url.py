"""Which addresses of Redis are accepted, the errors for others, and what is shown of an address."""

import pytest

from services.relay.store.url import Endpoint, Login, RedisUrl, StoreKind, Tls, masked, parse

HERE = Endpoint("127.0.0.1", 6379)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("redis://127.0.0.1", RedisUrl(StoreKind.ALONE, (HERE,))),
        ("redis://127.0.0.1:6380/3", RedisUrl(StoreKind.ALONE, (Endpoint("127.0.0.1", 6380),), db=3)),
        ("REDIS://127.0.0.1?db=3", RedisUrl(StoreKind.ALONE, (HERE,), db=3)),
        ("redis://[::1]:6380/0", RedisUrl(StoreKind.ALONE, (Endpoint("::1", 6380),))),
        ("redis://:p%2Fw@127.0.0.1/", RedisUrl(StoreKind.ALONE, (HERE,), Login("", "p/w"))),
        ("redis://relay:p:w@127.0.0.1", RedisUrl(StoreKind.ALONE, (HERE,), Login("relay", "p:w"))),
        ("redis://127.0.0.1?username=u&password=p", RedisUrl(StoreKind.ALONE, (HERE,), Login("u", "p"))),
        ("rediss://127.0.0.1", RedisUrl(StoreKind.ALONE, (HERE,), tls=Tls())),
        (
            "rediss://127.0.0.1?ssl_ca_certs=/ca&ssl_certfile=/c&ssl_keyfile=/k&ssl_check_hostname=false",
            RedisUrl(StoreKind.ALONE, (HERE,), tls=Tls("/ca", "/c", "/k", check_hostname=False)),
        ),
        (
            "rediss://127.0.0.1?ssl_cert_reqs=none",
            RedisUrl(StoreKind.ALONE, (HERE,), tls=Tls(verify=False, check_hostname=False)),
        ),
        ("unix:///run/redis.sock?db=2", RedisUrl(StoreKind.ALONE, (Endpoint(path="/run/redis.sock"),), db=2)),
        ("unix://u:p@/s", RedisUrl(StoreKind.ALONE, (Endpoint(path="/s"),), Login("u", "p"))),
        (
            "redis+sentinel://u:p@a,[::1]:7,b:8/main/2?sentinel_username=s&sentinel_password=t",
            RedisUrl(
                StoreKind.SENTINEL,
                (Endpoint("a", 26379), Endpoint("::1", 7), Endpoint("b", 8)),
                Login("u", "p"),
                db=2,
                service="main",
                sentinel_login=Login("s", "t"),
            ),
        ),
        (
            "rediss+sentinel://a/m",
            RedisUrl(StoreKind.SENTINEL, (Endpoint("a", 26379),), tls=Tls(), service="m"),
        ),
        ("redis+cluster://a,b:7", RedisUrl(StoreKind.CLUSTER, (Endpoint("a", 6379), Endpoint("b", 7)))),
        ("rediss+cluster://a:1/", RedisUrl(StoreKind.CLUSTER, (Endpoint("a", 1),), tls=Tls())),
    ],
)
def test_the_forms_that_operators_know_are_read(text: str, read: RedisUrl) -> None:
    assert parse(text) == read


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://hunter2", "must start with redis://"),
        ("hunter2", "must start with redis://"),
        ("redis+sentry://hunter2", "must start with redis://"),
        ("redis://u:hunter2/2@h", "password percent-encoded"),
        ("redis://u:hunter2?x@h", "password percent-encoded"),
        ("redis://u:hunter2#x@h", "password percent-encoded"),
        ("redis://hunter2@h", "must have a password after the user"),
        ("redis://", "must name each host as host:port"),
        ("redis://h:0", "must name each host as host:port"),
        ("redis://a..b", "must name each host as host:port"),
        ("redis://h:hunter2", "must name each host as host:port"),
        ("redis://::1:6379", "must name each host as host:port"),
        ("redis://[::1", "must name each host as host:port"),
        ("redis://[::1]6379", "must name each host as host:port"),
        ("redis://h,i", "must name one host"),
        ("redis://h/hunter2", "must have the number of a database"),
        ("redis://h/1/2", "a database number and nothing more"),
        ("redis://h?hunter2=1", "an option that is not known here: db, username, password are"),
        ("redis://h?ssl_certfile=/x", "ssl_certfile, which needs rediss://"),
        ("rediss://h?ssl_cert_reqs=hunter2", "ssl_cert_reqs=required or"),
        ("rediss://h?ssl_check_hostname=hunter2", "ssl_check_hostname=true or"),
        ("rediss://h?ssl_keyfile=/x", "must have ssl_certfile beside"),
        ("redis://h?sentinel_password=hunter2", "not known here"),
        ("redis+sentinel://h:1", "must end with the name of the service"),
        ("redis+sentinel://h:1/main/hunter2", "must have the number of a database"),
        ("redis+sentinel://h,,i/main", "must name each host as host:port"),
        ("redis+cluster://h/1", "a cluster has only number 0"),
        ("unix://host/path", "must name the socket by its full path"),
        ("unix://", "must name the socket by its full path"),
    ],
)
def test_anything_else_is_refused_in_one_line_that_repeats_no_secret(text: str, words: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse(text)
    assert words in str(refused.value)
    assert "hunter2" not in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://h:1/0", "redis://h:1/0"),
        ("redis://:hunter2@[::1]:1", "redis://:***@[::1]:1"),
        ("unix://u:hunter2@/s?db=1", "unix://u:***@/s?db=1"),
        ("unix:///s?password=hunter2", "unix:///s?password=***"),
        ("redis+cluster://u:hunter2@a,b", "redis+cluster://u:***@a,b"),
        (
            "rediss+sentinel://u:hunter2@a,b/m?sentinel_username=s&sentinel_password=hunter2",
            "rediss+sentinel://u:***@a,b/m?sentinel_username=s&sentinel_password=***",
        ),
        ("redis://u:hun?hunter2@h", "redis://u:***@h"),
        ("redis://u:hun/hunter2@h/1", "redis://u:***@h/1"),
        ("nonsense:hunter2@h", "***"),
    ],
)
def test_a_shown_address_has_no_password(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_a_password_is_not_in_the_repr_of_what_was_read() -> None:
    assert "hunter2" not in repr(parse("redis+sentinel://u:hunter2@h/m?sentinel_password=hunter2"))
