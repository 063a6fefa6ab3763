"""Whatever is sent, in whatever order: an answer or a refusal with a reason, never a crash."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amt.folders import Studies
from amt.store.database import open_database
from tests.amt.served import ENVIRONMENT, RESPONSE, Client, served
from tests.amt.study import make_study
from tests.amt.test_raters_api import PROTOCOL

RELAXED = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
VERBS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
PARTS = st.sampled_from(
    ["api", "studies", "quick", "sessions", "trials", "0", "-1", "99999999999999999999", "response", "shown",
     "void", "next", "consent", "environment", "complete", "withdraw", "images", "s", "page", "..",
     "%00", "%2e%2e", "é", "a" * 300]
)  # fmt: skip
TOKENS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60).map(str.strip)


def changed(valid: dict[str, Any]) -> st.SearchStrategy[Any]:
    """A valid body with one part replaced by anything, or anything at all."""
    one = st.tuples(st.sampled_from(sorted(valid)), ANYTHING).map(lambda new: valid | {new[0]: new[1]})
    return one | ANYTHING | st.just(valid)


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Iterator[httpx.Client]:
    """A server with a study that has slots enough."""
    folder = Studies(tmp_path_factory.mktemp("study"))
    database = open_database(folder.database, create=True)
    make_study(database, folder, pictures, PROTOCOL.model_copy(update={"raters": 400}), name="quick")
    with served(database, folder) as found:
        yield found
    database.close()


@pytest.fixture(scope="module")
def raters(http: httpx.Client) -> list[Client]:
    """Two raters whose requests are mixed."""
    return [Client(http, "quick", name).agree() for name in ("one", "two")]


def check(response: httpx.Response) -> None:
    assert response.status_code < 500, (response.request.url, response.text)
    if response.status_code >= 400 and response.request.method != "HEAD":
        assert response.json()["message"]


@pytest.mark.long
@RELAXED
@given(VERBS, st.lists(PARTS, max_size=6), ANYTHING, TOKENS)
def test_any_request_has_an_answer(http: httpx.Client, verb: str, parts: list[str], body: Any, token: str) -> None:  # noqa: ANN401 (JSON)
    content = repr(body).encode("utf-8", "replace")
    headers = {"authorization": f"Bearer {token}".strip()}
    check(http.request(verb, "/" + "/".join(parts), content=content, headers=headers, follow_redirects=False))


@pytest.mark.long
@RELAXED
@given(changed({"rater": "someone", "rater_source": "open", "platform": {"a": 1}}))
def test_any_start_has_an_answer(http: httpx.Client, body: Any) -> None:  # noqa: ANN401 (JSON)
    check(http.post("/api/studies/quick/sessions", content=text(body)))


@pytest.mark.long
@RELAXED
@given(
    st.lists(
        st.tuples(
            st.integers(0, 1),
            st.one_of(
                st.tuples(st.just("PUT"), st.integers(-1, 9).map("trials/{}/response".format), changed(RESPONSE)),
                st.tuples(st.just("POST"), st.integers(-1, 9).map("trials/{}/shown".format), st.just({})),
                st.tuples(
                    st.just("POST"), st.integers(-1, 9).map("trials/{}/void".format), changed({"reason": "blur"})
                ),
                st.tuples(st.just("GET"), st.just("next"), st.none()),
                st.tuples(st.just("POST"), st.just("environment"), changed(ENVIRONMENT | {"eligible": True})),
                st.tuples(st.just("POST"), st.just("comment"), changed({"text": "x"})),
                st.tuples(st.just("POST"), st.sampled_from(["heartbeat", "complete"]), st.none()),
            ),
            st.booleans(),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_any_order_of_steps_has_answers(raters: list[Client], steps: list[Any]) -> None:
    for who, (verb, path, body), crossed in steps:
        rater, owner = raters[who], raters[1 - who if crossed else who]
        url = f"/api/sessions/{owner.session}/{path}"
        response = rater.http.request(verb, url, content=text(body), headers=rater.headers)
        check(response)
        assert not crossed or response.status_code in {401, 422, 429}


def text(body: Any) -> bytes:  # noqa: ANN401 (JSON)
    """As JSON, with what JSON has no words for left as Python writes it."""
    return json.dumps(body).encode("utf-8", "replace")
