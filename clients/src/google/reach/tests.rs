#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn addresses_are_those_of_the_endpoint() {
    let known = ["http://127.0.0.1:8085", "http://[::1]:8085/", "https://europe-west1-pubsub.googleapis.com"];
    let address = |host: &str, port, tls| Address { host: host.to_owned(), port, tls };
    let expected = [
        address("127.0.0.1", 8085, false),
        address("::1", 8085, false),
        address("europe-west1-pubsub.googleapis.com", 443, true),
    ];
    assert_eq!(known.map(|endpoint| Address::parse(endpoint).unwrap()), expected);
}
