"""The address that raters get: what is none is refused, by what is wrong, and no password is repeated."""

from __future__ import annotations

import pytest

from amt.errors import AmtError
from amt.recruitment import checked_url

PLAIN = [
    "http://[::1]:8000",
    "https://lab.example.org",
    "http://192.168.0.1:80/a%20b",
    "http://my_host.",
    "https://xn--bcher-kva.example:8443/~lab/study.1",
    f"https://{'a' * 63}.org",
]
WRONG = {
    "lab.example.org": "no http:// or https:// before it",
    "lab.example.org:8000": "no http:// or https:// before it",
    "ftp://lab.example.org": "no http:// or https:// before it",
    "http://x y.org": "a blank, or a character",
    "https://b\u00fccher.example": "a blank, or a character",
    "https://lab.example.org\n": "a blank, or a character",
    "http://,a": "no host at ',a'",
    "https://": "no host at ''",
    "https://lab..example.org": "no host at 'lab..example.org'",
    "https://-lab.example.org": "no host at",
    "https://lab.example.org:0": "no host at 'lab.example.org:0'",
    "https://1.2.3.400": "no host at",  # to browsers a broken IPv4 address
    "https://1.2.3": "no host at",
    "https://[fe80::1%eth0]": "no host at",
    f"https://{'a' * 64}.org": "no host at",
    "https://lab.example.org:99999": "no URL (Port out of range 0-65535)",
    "https://[::1": "no URL (Invalid IPv6 URL)",
    "https://user:secret@lab.example.org": "a user name or password",
    "https://secret@lab.example.org": "a user name or password",
    "https://user:secr@et@lab.example.org/?a": "a user name or password",
    "https://lab.example.org?": "a query or fragment",
    "https://lab.example.org/#top": "a query or fragment",
    "https://lab.example.org/a|b": "a path '/a|b' that must be percent-encoded",
    "https://lab.example.org/%zz": "a path '/%zz' that must be percent-encoded",
}


@pytest.mark.parametrize("url", PLAIN)
def test_a_plain_url_is_kept_but_for_its_last_slash(url: str) -> None:
    assert checked_url(url) == checked_url(f"{url}/") == url


@pytest.mark.parametrize("url", WRONG)
def test_what_raters_cannot_open_is_refused(url: str) -> None:
    with pytest.raises(AmtError) as error:
        checked_url(url)
    assert f": found {WRONG[url]}" in str(error.value)
    assert str(error.value).endswith("such as https://lab.example.org/study")
    assert "secr" not in str(error.value)
    assert "\n" not in str(error.value)
