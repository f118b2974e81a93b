//! Connections that break, and what a probe says.

use super::*;

async fn behind_a_proxy(service: &Service) -> (Proxy, Orders) {
    let orders = service.orders().await;
    let server = service.grpc.strip_prefix("http://").unwrap();
    let proxy = Proxy::before(server).await;
    (proxy, orders)
}

fn through(proxy: &Proxy, orders: &Orders) -> Arc<dyn Source> {
    orders.source_with(json!({ "endpoint": format!("http://{}", proxy.address()) }))
}

/// Reads until the reader says that the service is gone.
async fn trouble(reader: &mut dyn Reader) -> SourceError {
    let waiting = async {
        loop {
            match read(reader, &mut Records::default()).await {
                Ok(status) => assert_ne!(status, ReadStatus::CaughtUp, "nobody can know that"),
                Err(error) => return error,
            }
        }
    };
    tokio::time::timeout(LONGEST, waiting).await.expect("it is said")
}

/// The network goes away under half of the messages: that is told as trouble which may pass, what was handed out can still
/// be acknowledged when it is back, and every message comes.
async fn survives(network: Network) {
    let service = Service::fast_one();
    let (proxy, orders) = behind_a_proxy(&service).await;
    orders.publish_numbers(0..10).await;
    let source = through(&proxy, &orders);
    let mut reader = open(&*source, None).await;
    let first = read_some(&mut *reader, 10).await;
    proxy.set(network);
    orders.publish_numbers(10..20).await;
    let error = trouble(&mut *reader).await;
    assert!(matches!(error, SourceError::Retry { .. }), "{error}");
    let position = reader.position();
    drop(reader);

    // As long as it is away, every attempt says so.
    let mut reader = open(&*source, Some(&position)).await;
    trouble(&mut *reader).await;
    drop(reader);
    proxy.set(Network::Passes);
    let mut reader = open(&*source, Some(&position)).await;
    let mut all = set(&first);
    let mut second = Records::default();
    // Leases may have run out in the meantime: then what was handed out comes once more.
    let reading = async {
        while all.len() < 20 {
            read(&mut *reader, &mut second).await.unwrap();
            all.extend(set(&second));
        }
    };
    tokio::time::timeout(LONGEST, reading).await.expect("every message comes");
    assert_eq!((all, second.position(0)), ((0..20).collect(), 10), "the count goes on");
    read_all(&mut *reader).await;
    reader.acknowledge(&reader.position()).await.unwrap();
    drop(reader);
    source.close().await;
    assert!(read_all(&mut *open(&*orders.source(), None).await).await.is_empty(), "all of it is acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub-load -- cargo test … --ignored"]
async fn a_cut_connection_loses_nothing() {
    survives(Network::Cuts).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub-load -- cargo test … --ignored"]
async fn a_stalled_connection_loses_nothing() {
    survives(Network::Stalls).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub -- cargo test … --ignored"]
async fn a_probe_reads_nothing() {
    let orders = Service::true_one().orders().await;
    let source = orders.source();
    let said = source.probe().await.unwrap();
    assert!(said.contains(&orders.subscription()), "{said}");
    orders.publish_numbers(0..1).await;
    source.probe().await.unwrap();
    let mut reader = open(&*source, None).await;
    assert_eq!(read_some(&mut *reader, 1).await.len(), 1, "what was pulled to try is given back");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub -- cargo test … --ignored"]
async fn an_absent_subscription_is_named() {
    let mut orders = Service::true_one().orders().await;
    orders.name = "nowhere".to_string();
    let source = orders.source();
    let said = source.probe().await.unwrap_err().to_string();
    assert!(said.contains("projects/acme/subscriptions/nowhere does not exist"), "{said}");
    let mut reader = open(&*source, None).await;
    assert!(matches!(trouble(&mut *reader).await, SourceError::Config { .. }));
}
