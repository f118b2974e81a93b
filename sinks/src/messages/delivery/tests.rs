#![allow(clippy::unwrap_used)]

use super::*;

/// Takes every other message, and says each time what it was sent.
#[derive(Debug, Default)]
struct EveryOther {
    sent: Vec<Vec<(String, Option<String>)>>,
    /// What each of the next calls answers in place of that.
    answers: Vec<Result<usize, SinkError>>,
}

#[async_trait]
impl Broker for EveryOther {
    fn place(&self) -> &str {
        "every other"
    }

    async fn open(&mut self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn probe(&mut self) -> Result<String, SinkError> {
        Ok(String::new())
    }

    async fn send(&mut self, part: &[&Outgoing<'_>]) -> Result<Vec<Refused>, SinkError> {
        self.sent.push(part.iter().map(|message| (message.id.clone(), message.key.map(str::to_owned))).collect());
        let refused = |at| Refused { at, why: SinkError::retry("every other", "not now") };
        match self.answers.pop() {
            None => Ok((1..part.len()).step_by(2).map(refused).collect()),
            Some(Ok(first)) => Ok((first..part.len()).map(refused).collect()),
            Some(Err(error)) => Err(error),
        }
    }
}

fn epoch(number: u64, parts: &[&[&str]]) -> Epoch {
    let message = |value: &&str| Message(Some(value[..1].to_owned()), (*value).to_owned());
    let parts = parts.iter().map(|part| part.iter().map(message).collect()).collect();
    Epoch { epoch: number, after: 0, parts }
}

fn delivery(answers: Vec<Result<usize, SinkError>>) -> Delivery<EveryOther> {
    Delivery::new(EveryOther { answers, ..EveryOther::default() }, "eu/orders/out".to_owned())
}

/// The numbers within their epoch of what was sent, call by call.
fn numbers(delivery: &Delivery<EveryOther>) -> Vec<Vec<usize>> {
    let number = |(id, _): &(String, Option<String>)| id.split('/').nth(4).unwrap().parse().unwrap();
    delivery.broker.sent.iter().map(|sent| sent.iter().map(number).collect()).collect()
}

#[tokio::test]
async fn only_what_was_left_is_sent_again_and_in_order() {
    let mut delivery = delivery(Vec::new());
    delivery.publish(epoch(7, &[&["a", "b", "c", "d", "e"], &["f", "g"]])).await.unwrap();
    assert_eq!(numbers(&delivery), [vec![0, 1, 2, 3, 4], vec![1, 3], vec![3], vec![5, 6], vec![6]]);
    let (id, key) = &delivery.broker.sent[0][1];
    assert_eq!((id.as_str(), key.as_deref()), ("eu/orders/out/7/1/3e23e816", Some("b")));
    assert_eq!(delivery.broker.sent[1][0], delivery.broker.sent[0][1], "the same, whenever it is sent");
    delivery.publish(epoch(7, &[&["a", "b", "c", "d", "e"], &["f", "g"]])).await.unwrap();
    assert_eq!(delivery.broker.sent.len(), 5, "all of it is known to be taken");
}

#[tokio::test]
async fn what_was_taken_is_remembered_beyond_a_failure() {
    let lasting = SinkError::config("nobody may");
    // From the last to the first.
    let mut delivery = delivery(vec![Err(lasting), Ok(2)]);
    let parts: [&[&str]; 2] = [&["a"], &["b", "c", "d", "e"]];
    // The first part has one message, of which none is refused.
    let error = delivery.publish(epoch(1, &parts)).await.unwrap_err();
    assert!(matches!(error, SinkError::Config { .. }), "{error}");
    delivery.publish(epoch(1, &parts)).await.unwrap();
    assert_eq!(numbers(&delivery), [vec![0], vec![1, 2, 3, 4], vec![1, 2, 3, 4], vec![2, 4], vec![4]]);
}

#[tokio::test]
async fn trouble_that_lasts_goes_before_trouble_that_passes() {
    let refused = |why| Refused { at: 0, why };
    let told = worst(vec![
        refused(SinkError::retry("a", "b")),
        refused(SinkError::config("nobody may")),
        refused(SinkError::retry("a", "c")),
    ]);
    assert!(matches!(told, Some(SinkError::Config { .. })), "{told:?}");
    assert!(worst(Vec::new()).is_none());
}

#[test]
fn an_empty_key_is_none() {
    let part = [Message(Some(String::new()), "{}".to_owned()), Message(None, "{}".to_owned())];
    let sent = outgoing("n", 1, 10, &part);
    assert_eq!((sent[0].key, sent[1].key), (None, None));
    assert_ne!(sent[0].id, sent[1].id, "equal rows have ids of their own");
}
