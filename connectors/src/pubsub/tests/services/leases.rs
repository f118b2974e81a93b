//! Leases while acknowledgements wait for a checkpoint: these tests take as long as leases do.

use std::time::Instant;

use super::*;

/// Twice as long as a lease, which must be extended to last so long.
const HELD: Duration = Duration::from_secs(20);

/// Reads until something comes that was there before, for as long as `patience`.
async fn comes_again(reader: &mut dyn Reader, patience: Duration) -> Records {
    let mut records = Records::default();
    let deadline = Instant::now() + patience;
    while records.is_empty() && Instant::now() < deadline {
        read(reader, &mut records).await.unwrap();
    }
    records
}

/// Nothing comes twice while it is held, and it can be acknowledged then.
async fn nothing_comes_again(orders: Orders) {
    orders.publish_numbers(0..20).await;
    let source = orders.source_on_lease(LONGEST);
    let mut reader = open(&*source, None).await;
    assert_eq!(set(&read_some(&mut *reader, 20).await).len(), 20);
    assert!(comes_again(&mut *reader, HELD).await.is_empty(), "a lease was not extended");
    reader.acknowledge(&reader.position()).await.unwrap();
    drop(reader);
    source.close().await;
    assert!(read_all(&mut *open(&*orders.source(), None).await).await.is_empty(), "all of it is acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub -- cargo test … --ignored"]
async fn leases_are_extended_on_googles_fake() {
    nothing_comes_again(Service::true_one().orders().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub-load -- cargo test … --ignored"]
async fn leases_are_extended_on_the_fast_server() {
    nothing_comes_again(Service::fast_one().orders().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub-load -- cargo test … --ignored"]
async fn leases_are_extended_with_exactly_once_delivery() {
    let service = Service::fast_one();
    nothing_comes_again(service.orders_with(|it| it.set_enable_exactly_once_delivery(true)).await).await;
}

/// A lease that ran out: the message comes again, its first acknowledgement is worth nothing, and its second counts.
async fn what_ran_out_comes_again(orders: Orders) {
    orders.publish_numbers(0..1).await;
    let source = orders.source_on_lease(Duration::from_secs(1));
    let mut reader = open(&*source, None).await;
    assert_eq!(numbers(&read_some(&mut *reader, 1).await), [0]);
    let first = reader.position();
    assert_eq!(numbers(&comes_again(&mut *reader, LONGEST).await), [0]);
    reader.acknowledge(&first).await.unwrap();
    reader.acknowledge(&reader.position()).await.unwrap();
    drop(reader);
    source.close().await;
    assert!(read_all(&mut *open(&*orders.source(), None).await).await.is_empty(), "the second one is acknowledged");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub-load -- cargo test … --ignored"]
async fn a_lease_that_ran_out_is_told_by_its_message() {
    what_ran_out_comes_again(Service::fast_one().orders().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub-load -- cargo test … --ignored"]
async fn a_lease_that_ran_out_is_told_by_its_message_with_exactly_once_delivery() {
    let service = Service::fast_one();
    what_ran_out_comes_again(service.orders_with(|it| it.set_enable_exactly_once_delivery(true)).await).await;
}
