"""Apache Kafka itself: one node in KRaft mode, with every way in that clients know.

| listener | who may come in |
|---|---|
| PLAINTEXT | anyone |
| SASL_SSL | USER by PLAIN or SCRAM; `$ConnectionString` by PLAIN, as at Event Hubs; any unsigned token by OAUTHBEARER |
| SSL | whoever has a certificate of our authority |
| PROXIED | anyone; it calls itself by the port of a proxy that a test may put before it |
| PROXIED_SASL_SSL | `$ConnectionString` by PLAIN; likewise |
"""

import base64
import uuid

from .cache import Command, execute
from .certificates import Authority
from .maven import JAVA, jars
from .proxy import Proxy
from .service import Service

USER = "watershed"
PASSWORD = "kafka-password-41f7"
CONNECTION_STRING_USER = "$ConnectionString"
CONNECTION_STRING = (
    "Endpoint=sb://watershed.servicebus.windows.net/;SharedAccessKeyName=watershed;SharedAccessKey=c2hhcmVkLWtleS00MWY3"
)

PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners={listeners},CONTROLLER://127.0.0.1:{controller}
advertised.listeners={advertised}
listener.security.protocol.map=\
    PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL,PROXIED:PLAINTEXT,PROXIED_SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={folder}/data

# A broker that was killed may come back once its session has run out.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
log.cleaner.dedupe.buffer.size=4194304

ssl.truststore.type=PEM
ssl.truststore.location={authority}
ssl.keystore.type=PEM
ssl.keystore.location={server}
listener.name.ssl.ssl.client.auth=required
listener.name.sasl_ssl.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER
listener.name.sasl_ssl.plain.sasl.jaas.config={security}.plain.PlainLoginModule required \
    user_{user}="{password}" user_{connection_string_user}="{connection_string}";
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={security}.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={security}.scram.ScramLoginModule required;
listener.name.sasl_ssl.oauthbearer.sasl.jaas.config={security}.oauthbearer.OAuthBearerLoginModule required \
    unsecuredLoginStringClaim_sub="{user}";
listener.name.proxied_sasl_ssl.sasl.enabled.mechanisms=PLAIN
listener.name.proxied_sasl_ssl.plain.sasl.jaas.config={security}.plain.PlainLoginModule required \
    user_{connection_string_user}="{connection_string}";
"""


def addresses(listeners: dict[str, int]) -> str:
    return ",".join(f"{name}://127.0.0.1:{port}" for name, port in listeners.items())


class Kafka(Service):
    name = "kafka"
    port_count = 8
    ready = "Kafka Server started"

    @classmethod
    def install(cls) -> None:
        jars("kafka")

    @classmethod
    def version(cls) -> str:
        (jar,) = jars("kafka").glob("kafka-server-4*.jar")
        return f"Apache Kafka {jar.stem.removeprefix('kafka-server-')}"

    def prepare(self) -> None:
        plaintext, sasl_ssl, ssl, proxied, proxy, secured, secured_proxy, controller = self.ports
        authority = Authority(self.folder / "tls")
        self._authority, self._client = authority.certificate, authority.client()
        listeners = {"PLAINTEXT": plaintext, "SASL_SSL": sasl_ssl, "SSL": ssl}
        listeners |= {"PROXIED": proxied, "PROXIED_SASL_SSL": secured}
        properties = PROPERTIES.format(
            listeners=addresses(listeners),
            advertised=addresses(listeners | {"PROXIED": proxy, "PROXIED_SASL_SSL": secured_proxy}),
            controller=controller,
            folder=self.folder,
            authority=authority.certificate,
            server=authority.server().both,
            security="org.apache.kafka.common.security",
            user=USER,
            password=PASSWORD,
            connection_string_user=CONNECTION_STRING_USER,
            connection_string=CONNECTION_STRING,
        )
        (self.folder / "server.properties").write_text(properties)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        storage = ["format", "--config=server.properties", f"--cluster-id={cluster}"]
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            storage += ["--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]"]
        # Compiled for a quick start: it lives for a second.
        execute([*self._java("-XX:TieredStopAtLevel=1", "kafka.tools.StorageTool"), *storage], self.folder)

    def proxy(self) -> Proxy:
        """A proxy before the broker, which sends those who come through it nowhere else."""
        _, _, _, proxied, proxy, *_ = self.ports
        return Proxy(to=proxied, port=proxy)

    def secured_proxy(self) -> Proxy:
        """Likewise, for those who speak TLS and have a connection string."""
        *_, secured, proxy, _ = self.ports
        return Proxy(to=secured, port=proxy)

    def command(self) -> Command:
        return [*self._java("kafka.Kafka"), "server.properties"]

    def _java(self, *main: str) -> list[str]:
        return [*JAVA, "-Xmx512m", "-cp", f"{jars('kafka')}/*", *main]

    def variables(self) -> dict[str, str]:
        plaintext, sasl_ssl, ssl, *_ = self.ports
        return {
            "WATERSHED_KAFKA": f"127.0.0.1:{plaintext}",
            "WATERSHED_KAFKA_SASL_SSL": f"127.0.0.1:{sasl_ssl}",
            "WATERSHED_KAFKA_SSL": f"127.0.0.1:{ssl}",
            "WATERSHED_KAFKA_CA": str(self._authority),
            "WATERSHED_KAFKA_CERT": str(self._client.certificate),
            "WATERSHED_KAFKA_KEY": str(self._client.key),
            "WATERSHED_KAFKA_USER": USER,
            "WATERSHED_KAFKA_PASSWORD": PASSWORD,
            "WATERSHED_KAFKA_CONNECTION_STRING": CONNECTION_STRING,
        }
