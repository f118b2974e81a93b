"""AWS's credentials, by each link of its default chain and by keys: which of them the service sees, signed by which secret.

The identity services are doubles; the signatures are checked by a guard before Kinesis, so that a wrong secret or token is
refused as it would be there.
"""

import json
import stat
import sys
from pathlib import Path

import pytest

from ..guard import Guard
from ..identity import CONTAINER, CONTAINER_TOKEN, FEDERATED, ROLE, AwsIdentity
from ..signature import Key
from .credentials import NO_INSTANCE, bare, by_variables, drain, guarded, written
from .test_kinesis import REGION, Stream


@pytest.fixture
def kinesalite(serve):
    return serve("kinesalite")


@pytest.fixture
def stream(kinesalite, request):
    return Stream.make(kinesalite.address, request.node.name.replace("[", "-").rstrip("]"), 1)


def as_profile(key: Key) -> str:
    lines = [f"aws_access_key_id = {key.id}", f"aws_secret_access_key = {key.secret}"]
    return "\n".join([*lines, f"aws_session_token = {key.token}"] if key.token else lines)


class Case:
    """One way to come by credentials: keys of the source, variables, and the ids that may be seen for it."""

    def __init__(self, identity: AwsIdentity, folder: Path):
        self.identity, self.folder = identity, folder
        self.keys, self.variables, self.kind = "", dict(NO_INSTANCE), ""

    def environment(self):
        self.kind = "env"
        self.variables |= by_variables(self.identity.make("env"))

    def profile_variable(self):
        self.kind = "named"
        of_default = f"[default]\n{as_profile(self.identity.make('default'))}\n"
        file = written(self.folder, "keys", f"{of_default}[trial]\n{as_profile(self.identity.make('named', False))}\n")
        self.variables |= {"AWS_PROFILE": "trial", "AWS_SHARED_CREDENTIALS_FILE": file}

    def profile_key(self):
        """The region file's word counts for more than the environment's."""
        self.kind = "named"
        self.keys = 'profile = "trial"'
        file = written(self.folder, "keys", f"[profile trial]\n{as_profile(self.identity.make('named'))}\n")
        self.variables |= by_variables(self.identity.make("env")) | {"AWS_CONFIG_FILE": file}

    def process(self):
        self.kind = "process"
        key = self.identity.make("process")
        told = {"Version": 1, "AccessKeyId": key.id, "SecretAccessKey": key.secret, "SessionToken": key.token}
        program = written(self.folder, "keys.py", f"#!{sys.executable}\nprint('''{json.dumps(told)}''')\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        file = written(self.folder, "config", f"[default]\ncredential_process = {program}\n")
        self.variables |= {"AWS_CONFIG_FILE": file}

    def web_identity(self):
        self.kind = "web"
        file = written(self.folder, "token", FEDERATED)
        self.variables |= {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": file}
        self.variables |= {"AWS_ENDPOINT_URL_STS": self.identity.url}

    def container(self):
        """As for tasks of ECS, and for pods of EKS: their agent is at another address."""
        self.kind = "container"
        self.variables |= {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.identity.url}{CONTAINER}"}
        self.variables |= {"AWS_CONTAINER_AUTHORIZATION_TOKEN": CONTAINER_TOKEN}

    def pod(self):
        self.kind = "container"
        self.variables |= {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.identity.url}{CONTAINER}"}
        self.variables |= {"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": written(self.folder, "token", CONTAINER_TOKEN)}

    def instance(self):
        self.kind = "instance"
        self.variables = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.identity.url}

    def role(self):
        self.kind = "role"
        self.keys = f'role_arn = "{ROLE}"'
        self.variables |= by_variables(self.identity.make("env", False))
        self.variables |= {"AWS_ENDPOINT_URL_STS": self.identity.url}

    def role_of_instance(self):
        self.kind = "role"
        self.keys = f'role_arn = "{ROLE}"'
        self.variables = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.identity.url}
        self.variables |= {"AWS_ENDPOINT_URL_STS": self.identity.url}

    def explicit(self):
        """Keys in the region file count for more than the environment's."""
        self.kind = "given"
        key = self.identity.make("given")
        self.keys = f'access_key_id = "{key.id}"\nsecret_access_key = "${{SECRET}}"\nsession_token = "${{TOKEN}}"'
        self.variables |= by_variables(self.identity.make("env"))
        self.variables |= {"SECRET": key.secret, "TOKEN": key.token}


WAYS = [name for name in vars(Case) if not name.startswith("_")]


@pytest.mark.parametrize("way", WAYS)
def test_chain(way, trial, kinesalite, stream, tmp_path_factory):
    with AwsIdentity() as identity, Guard(kinesalite.port, REGION, identity.key) as guard:
        case = Case(identity, tmp_path_factory.mktemp("keys"))
        getattr(case, way)()
        drain(trial(guarded(guard, stream.name, case.keys), stream.send), case.variables)
        assert guard.callers() and guard.callers() <= identity.given(case.kind)


def test_renewed(trial, kinesalite, stream):
    """Keys of a role that do not last are asked for again, by a run that goes on."""
    with AwsIdentity(life=1) as identity, Guard(kinesalite.port, REGION, identity.key) as guard:
        renewing = trial(guarded(guard, stream.name, f'role_arn = "{ROLE}"'), stream.send)
        base = by_variables(identity.make("env", False))
        bare(renewing.daemon, base | NO_INSTANCE | {"AWS_ENDPOINT_URL_STS": identity.url})
        renewing.send(100)
        renewing.daemon.start("-vv")
        renewing.until_counted()
        seen = len(guard.callers())
        renewing.daemon.until(lambda: len(guard.callers()) >= seen + 3, "keys that were renewed three times")
        renewing.send(100)
        renewing.settle()
        assert guard.callers() <= identity.given("role")
