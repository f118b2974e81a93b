//! Against real servers: the mirror of checkpoints in Azurite.

use object_store::azure::MicrosoftAzureBuilder;
use object_store::path::Path;
use object_store::{Attribute, ObjectStoreExt};
use serde_json::json;

use super::{double, read_through, source};
use crate::source::{Source, SplitId};

/// Azurite's own, which the world knows.
const ACCOUNT: &str = "devstoreaccount1";
const KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run azurite -- sh -c 'python services/eventhubs/checkpoints.py make && cargo test … --ignored && python services/eventhubs/checkpoints.py show'"]
async fn checkpoints_lie_where_microsofts_clients_look_for_them() {
    let azurite = std::env::var("WATERSHED_AZURITE").expect("WATERSHED_AZURITE is not set: run scripts/services");
    let (_double, endpoint) = double(2, 10).await;
    let store = json!({ "url": "az://checkpoints", "account": ACCOUNT, "account_key": KEY, "endpoint": azurite });
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
        .with_account(ACCOUNT)
        .with_access_key(KEY)
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
