"""An authority of one's own, and the certificates of a server and of a client, as PEM files."""

from dataclasses import dataclass
from pathlib import Path

from .cache import execute

EXTENSIONS = """\
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
[client]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = clientAuth
"""


@dataclass(frozen=True)
class Identity:
    """A certificate, its private key, and a file that holds both, as Kafka wants its key stores."""

    certificate: Path
    key: Path

    @property
    def both(self) -> Path:
        return self.certificate.with_suffix(".both.pem")


class Authority:
    """Signs for two days, which outlasts any test."""

    def __init__(self, folder: Path):
        self._folder = folder
        folder.mkdir()
        (folder / "openssl.cnf").write_text(EXTENSIONS)
        self._own = self._make("authority", "authority")

    @property
    def certificate(self) -> Path:
        return self._own.certificate

    def server(self) -> Identity:
        return self._make("server", "localhost", self._own)

    def client(self) -> Identity:
        return self._make("client", "watershed", self._own)

    def _make(self, kind: str, name: str, signer: Identity | None = None) -> Identity:
        made = Identity(self._folder / f"{kind}.pem", self._folder / f"{kind}.key")
        request = ["openssl", "req", "-x509", "-config", "openssl.cnf", "-extensions", kind, "-days", "2", "-noenc"]
        request += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", f"/CN={name}"]
        request += ["-keyout", made.key, "-out", made.certificate]
        if signer:
            request += ["-CA", signer.certificate, "-CAkey", signer.key]
        execute(request, self._folder)
        made.both.write_bytes(made.key.read_bytes() + made.certificate.read_bytes())
        return made
