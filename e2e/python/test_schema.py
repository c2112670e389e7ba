"""The REST interface against its own description: schemathesis makes requests, good ones and bad ones, and holds every answer against
`/api/v1/openapi.json`."""

import re
import zlib

import hypothesis
import pytest
import requests
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from conftest import DEADLINE_S, Server

SEED = 20_261_121
EXAMPLES_PER_OPERATION = 40
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

# Every call of the published interface; a call that vanishes from the description would otherwise vanish from the test.
CALLS = """
    POST /auth/register, POST /auth/login, POST /auth/refresh, POST /auth/logout, GET /auth/verify,
    GET /me, PATCH /me, GET /users/search, GET /users/{}, PUT /users/{}/block, DELETE /users/{}/block,
    GET /conversations, POST /conversations/dm, POST /conversations/group,
    GET /conversations/{}, PATCH /conversations/{}, DELETE /conversations/{},
    POST /conversations/{}/members, PATCH /conversations/{}/members/{}, DELETE /conversations/{}/members/{},
    GET /conversations/{}/messages, POST /conversations/{}/messages,
    PATCH /conversations/{}/messages/{}, DELETE /conversations/{}/messages/{},
    PUT /conversations/{}/messages/{}/reactions/{}, DELETE /conversations/{}/messages/{}/reactions/{},
    POST /conversations/{}/receipts, POST /conversations/{}/typing, GET /search, GET /sync
"""


class World:
    """A server with something in it, so that a request can meet a conversation that is there."""

    def __init__(self, server):
        self.server = server
        self.alice, self.bob = self.server.register("alice"), self.server.register("bob")
        self.conversation = self.alice.api(
            "POST", "/conversations/group", json={"title": "the three of us", "memberIds": [self.bob.id]}
        )
        self.message = self.alice.send(self.conversation, "hello everybody")
        self.document_url = f"{self.server.url}/api/v1/openapi.json"

    def known(self, segment):
        """What stands in a path after `/segment/`, where there is something of the kind."""
        return {
            "conversations": self.conversation["id"],
            "messages": self.message["messageId"],
            "members": self.bob.id,
            "users": self.bob.id,
            "reactions": "👍",
        }.get(segment)


@pytest.fixture(scope="module")
def world():
    server = Server()
    try:
        world = World(server)
        yield world
        assert world.alice.call("GET", "/me").status_code == 200, "the token lives, so the answers were not all 401"
    finally:
        server.stop()


@pytest.fixture(scope="module")
def api_schema(world):
    return schemathesis.openapi.from_url(world.document_url, config=schemathesis.Config(seed=SEED))


def test_the_description_lists_every_call(world):
    document = requests.get(world.document_url, timeout=DEADLINE_S).json()
    assert document["openapi"].startswith("3.")
    listed = set()
    for path, operations in document["paths"].items():
        short = re.sub(r"\{[^}]*\}", "{}", path).removeprefix("/api/v1")
        listed |= {f"{method.upper()} {short}" for method in operations}
    wanted = {call.strip() for call in CALLS.split(",")}
    assert wanted - listed == set()


# Signing out would turn every later answer into a 401.
schema = schemathesis.pytest.from_fixture("api_schema").exclude(path_regex=r"/auth/logout$")


@schema.parametrize()
@hypothesis.settings(
    max_examples=EXAMPLES_PER_OPERATION, deadline=None, database=None, suppress_health_check=list(hypothesis.HealthCheck),
)
def test_every_answer_is_as_described(case, world):
    meet_what_is_there(case, world)
    case.call_and_validate(
        base_url=None, headers={"Authorization": f"Bearer {world.alice.token}"}, checks=CHECKS, timeout=DEADLINE_S,
    )


def meet_what_is_there(case, world):
    """In two of three requests the ids of the path become ids that exist; the choice follows from the request alone."""
    if not case.path_parameters or zlib.crc32(repr((case.path_parameters, case.body)).encode()) % 3 == 0:
        return
    parameters = dict(case.path_parameters)
    for segment, name in re.findall(r"/([^/{}]+)/\{([^}]*)\}", case.path):
        parameters[name] = world.known(segment) or parameters[name]
    case.path_parameters = parameters
