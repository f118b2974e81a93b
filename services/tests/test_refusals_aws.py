"""What AWS refuses: a check says which permission is missing, by its IAM action, or what else there is to mend."""

from collections.abc import Callable

import pytest

from ..daemon import Daemon
from ..guard import Guard
from ..identity import FEDERATED, ROLE, AwsIdentity
from ..trial import region
from .credentials import NO_INSTANCE, bare, by_variables, guarded, refused, written
from .test_kinesis import REGION, Stream, client

FAN_OUT = 'mode = "fan-out"\nconsumer = "trial"'

ACTIONS = {
    "kinesis:ListShards": "",
    "kinesis:GetShardIterator": "",
    "kinesis:GetRecords": "",
    "kms:Decrypt": "",
    "kinesis:DescribeStreamSummary": FAN_OUT,
    "kinesis:DescribeStreamConsumer": FAN_OUT,
}
"""What a check asks for, and the keys of a source that needs it."""


@pytest.fixture(scope="module")
def identity():
    with AwsIdentity() as identity:
        yield identity


@pytest.fixture(scope="module")
def stream(serve):
    return Stream.make(serve("kinesalite").address, "refusals", 1)


@pytest.fixture
def guard(serve, stream, identity):
    with Guard(serve("kinesalite").port, REGION, identity.key) as guard:
        yield guard


@pytest.fixture
def daemon(tmp_path) -> Callable[..., Daemon]:
    """A daemon of a source, with these variables and no others."""

    def make(source: str, variables: dict[str, str]) -> Daemon:
        made = Daemon(tmp_path, region(source))
        bare(made, variables | NO_INSTANCE)
        return made

    return make


@pytest.fixture
def known(identity) -> dict[str, str]:
    """The environment of somebody who is let in."""
    return by_variables(identity.make("env"))


@pytest.mark.parametrize("action", ACTIONS)
def test_forbidden(action, daemon, guard, known):
    guard.forbidden = action
    told = refused(daemon(guarded(guard, "refusals", ACTIONS[action]), known), f"the IAM action {action} on")
    assert "stream/refusals" in told


def test_not_needed(daemon, guard, known):
    """Polling does without the stream's own words."""
    guard.forbidden = "kinesis:DescribeStreamSummary"
    checked = daemon(guarded(guard, "refusals"), known).check("--connect")
    assert checked.returncode == 0, checked.stderr


def make_table(tables) -> None:
    """A table of leases without any."""
    if "refusals" in tables.list_tables()["TableNames"]:
        return
    name = "leaseKey"
    tables.create_table(
        TableName="refusals",
        KeySchema=[{"AttributeName": name, "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    tables.get_waiter("table_exists").wait(TableName="refusals", WaiterConfig={"Delay": 1})


@pytest.mark.parametrize("operation", ["DescribeTable", "Scan", "GetItem", "UpdateItem"])
def test_forbidden_on_the_table(operation, serve, daemon, identity, guard, known):
    make_table(client("dynamodb", serve("dynamodb").address))
    with Guard(serve("dynamodb").port, REGION, identity.key) as table:
        lease = f'leases = {{ table = "refusals", owner = "trial", endpoint = "{table.url}" }}'
        leased = daemon(guarded(guard, "refusals", lease), known)
        allowed = leased.check("--connect")
        assert allowed.returncode == 0, allowed.stderr
        table.forbidden = f"dynamodb:{operation}"
        refused(leased, "table refusals", f"the IAM action {table.forbidden}")


def test_wrong_region(daemon, guard, known):
    elsewhere = guarded(guard, "refusals", region="eu-north-1")
    refused(daemon(elsewhere, known), "not accepted in eu-north-1", "`aws_region`", "`endpoint`")


def test_absent_stream(daemon, guard, known):
    refused(daemon(guarded(guard, "refusal"), known), f"there is no stream refusal in {REGION}: did you mean refusals?")


def test_absent_stream_unnamed(daemon, guard, known):
    guard.forbidden = "kinesis:ListStreams"
    refused(daemon(guarded(guard, "refusal"), known), f"there is no stream refusal in {REGION}: check `stream`")


def test_expired_key(daemon, guard, identity):
    guard.expired = True
    key = identity.make("given")
    given = f'access_key_id = "{key.id}"\nsecret_access_key = "${{SECRET}}"\nsession_token = "${{TOKEN}}"'
    variables = {"SECRET": key.secret, "TOKEN": key.token}
    refused(daemon(guarded(guard, "refusals", given), variables), "`session_token` has expired: get new credentials")


def test_expired_environment(daemon, guard, known):
    guard.expired = True
    refused(daemon(guarded(guard, "refusals"), known), "credentials have expired", "get new ones")


def test_wrong_secret(daemon, guard, known):
    """The service's own words repeat the request, with its token."""
    wrong = known | {"AWS_SECRET_ACCESS_KEY": known["AWS_SECRET_ACCESS_KEY"][:-1]}
    refused(daemon(guarded(guard, "refusals"), wrong), "not accepted", "(InvalidSignatureException): check them")


def test_unknown_key(daemon, guard, known):
    unknown = known | {"AWS_ACCESS_KEY_ID": "AKIASOMEBODYELSE"}
    refused(daemon(guarded(guard, "refusals"), unknown), "not accepted", "(UnrecognizedClientException): check them")


def test_no_credentials(daemon, guard):
    refused(daemon(guarded(guard, "refusals"), {}), "no AWS credentials", "`access_key_id`", "`profile`")


def test_absent_profile(daemon, guard, known):
    refused(daemon(guarded(guard, "refusals", 'profile = "absent"'), known), "no AWS credentials", "absent")


def test_role_not_allowed(daemon, guard, known, identity):
    more = 'role_arn = "arn:aws:iam::000000000000:role/other"'
    variables = known | {"AWS_ENDPOINT_URL_STS": identity.url}
    refused(daemon(guarded(guard, "refusals", more), variables), "sts:AssumeRole on", "role/other", "the trust policy")


def test_role_by_wrong_secret(daemon, guard, known, identity):
    """What STS says of a signature repeats the request, with its token."""
    wrong = known | {"AWS_SECRET_ACCESS_KEY": known["AWS_SECRET_ACCESS_KEY"][:-1], "AWS_ENDPOINT_URL_STS": identity.url}
    refused(daemon(guarded(guard, "refusals", f'role_arn = "{ROLE}"'), wrong), "(SignatureDoesNotMatch): check them")


def test_web_identity_not_allowed(daemon, guard, tmp_path):
    with AwsIdentity(allowed=False) as closed:
        file = written(tmp_path, "token", FEDERATED)
        variables = {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": str(file), "AWS_ENDPOINT_URL_STS": closed.url}
        refused(daemon(guarded(guard, "refusals"), variables), "sts:AssumeRoleWithWebIdentity", ROLE)


def test_unreachable(daemon, known):
    with AwsIdentity() as gone:
        address = gone.url
    nowhere = f'connector = "kinesis"\nstream = "refusals"\naws_region = "{REGION}"\nendpoint = "{address}"'
    refused(daemon(nowhere, known), "`endpoint`", code=1)
