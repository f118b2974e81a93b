//! Against real servers: the mirror of checkpoints in Azurite, and the Kafka endpoint on a Kafka that takes connection strings.

use object_store::azure::MicrosoftAzureBuilder;
use object_store::path::Path;
use object_store::{Attribute, ObjectStoreExt};
use serde_json::json;

use super::{around, double, items, options, payload, read_through, read_to_end, source};
use crate::source::{Source, SplitId};
use crate::stream::StreamOptions;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run azurite -- cargo test … --ignored"]
async fn checkpoints_lie_where_microsofts_clients_look_for_them() {
    let azurite = variable("WATERSHED_AZURITE");
    let (account, key) = (variable("WATERSHED_AZURITE_ACCOUNT"), variable("WATERSHED_AZURITE_KEY"));
    let (_double, endpoint) = double(2, 10).await;
    let store = json!({ "url": "az://checkpoints", "account": account, "account_key": key, "endpoint": azurite });
    let source = source(&endpoint, json!({ "checkpoint_store": store }));
    assert!(source.acknowledges());
    source.probe().await.unwrap();
    for (split, count) in [("0", 7), ("1", 10)] {
        let (_, position) = read_through(&*source, split, None, count).await;
        let mut reader = source.open(&SplitId::new(split), Some(&position)).await.unwrap();
        reader.acknowledge(&position).await.unwrap();
        reader.acknowledge(&position).await.unwrap();
    }
    source.close().await;

    let blobs = MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_access_key(key)
        .with_container_name("checkpoints")
        .with_endpoint(azurite)
        .with_allow_http(true)
        .build()
        .unwrap();
    // All ten events fit into the first read of a partition.
    for split in ["0", "1"] {
        let path = Path::parse(format!("double.servicebus.windows.net/hub/$default/checkpoint/{split}")).unwrap();
        let attributes = blobs.get(&path).await.unwrap().attributes;
        let metadata = |name: &'static str| attributes.get(&Attribute::Metadata(name.into())).unwrap().to_string();
        assert_eq!((metadata("sequencenumber"), metadata("offset")), ("9".to_string(), "576".to_string()));
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run scripts/services"))
}

#[cfg(feature = "kafka")]
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run kafka -- cargo test … --ignored"]
async fn the_kafka_endpoint_is_read_with_a_connection_string() {
    use std::time::Duration;

    use rdkafka::ClientConfig;
    use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
    use rdkafka::client::DefaultClientContext;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    let brokers = variable("WATERSHED_KAFKA");
    let hub = format!("hub-{:08x}", rand::random::<u32>());
    let config = ClientConfig::new().set("bootstrap.servers", brokers).clone();
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let topic = NewTopic::new(&hub, 1, TopicReplication::Fixed(1));
    let made = admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    let producer: BaseProducer = config.create().unwrap();
    for number in 0..20 {
        let text = payload(0, number);
        producer.send(BaseRecord::<(), str>::to(&hub).partition(0).payload(&text)).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();

    let more = json!({
        "protocol": "kafka",
        "hub": hub,
        "connection_string": variable("WATERSHED_KAFKA_CONNECTION_STRING"),
        "tls": { "ca": variable("WATERSHED_KAFKA_CA") },
    });
    let source = options(&variable("WATERSHED_KAFKA_SASL_SSL"), more).source(&around()).unwrap();
    let splits = source.splits().await.unwrap();
    let mut reader = source.open(&splits[0], None).await.unwrap();
    assert_eq!(read_to_end(&mut *reader).await, items(0, 0..20));
}
