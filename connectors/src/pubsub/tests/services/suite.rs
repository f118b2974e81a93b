//! The suite of all sources, as far as it holds for a queue.

use super::*;

/// A subscription of its own for each source that the suite makes.
fn fixture(service: Service, ordered: bool) -> Fixture {
    let payloads = ["first", "", "third, which is a little longer than the others are", "x", "last"];
    let make = move || {
        let service = service.clone();
        let made = async move {
            let orders = service.orders().await;
            // An empty message has to have an attribute.
            let message = |payload: &str| Message::new().set_data(payload.to_string()).set_attributes([("a", "b")]);
            orders.publish(payloads.map(message)).await;
            Box::new(Shared(orders.source())) as Box<dyn Source>
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(made))
    };
    let items = payloads.iter().enumerate().map(|(at, payload)| Item::record(payload, at as u64)).collect();
    let mut fixture = Fixture::new(make, vec![("stream-0".to_string(), items)]);
    fixture.reopens = false;
    fixture.ordered = ordered;
    fixture
}

/// The suite owns what it tests.
#[derive(Debug)]
struct Shared(Arc<dyn Source>);

#[async_trait::async_trait]
impl Source for Shared {
    async fn splits(&self) -> Result<Vec<SplitId>, SourceError> {
        self.0.splits().await
    }

    async fn open(&self, split: &SplitId, from: Option<&Position>) -> Result<Box<dyn Reader>, SourceError> {
        self.0.open(split, from).await
    }

    fn bounded(&self) -> bool {
        self.0.bounded()
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub -- cargo test … --ignored"]
async fn keeps_the_promises_of_a_source_on_googles_fake() {
    fixture(Service::true_one(), false).run().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a server: scripts/services run pubsub-load -- cargo test … --ignored"]
async fn keeps_the_promises_of_a_source_on_the_fast_server() {
    fixture(Service::fast_one(), false).run().await;
}
