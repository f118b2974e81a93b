//! Records wait for the schemas that they name, and for nothing else.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;
use watershed_connectors::{Records, SourceError};

use super::super::schemas::Schemas;
use crate::registry::tests::{Desk, serve};

fn naming(ids: &[u32]) -> Records {
    let mut records = Records::default();
    for id in ids {
        records.push(&[&[0][..], &id.to_be_bytes(), b"value"].concat(), 0);
    }
    records
}

#[tokio::test]
async fn records_wait_while_the_registry_is_down() {
    let (desk, options) = serve(Desk::default()).await;
    desk.status.store(503, Ordering::Relaxed);
    let schemas = Arc::new(Schemas::new(&options, "orders").unwrap());
    let (keep, stop) = watch::channel(false);
    let ask = |ids: &'static [u32]| {
        let (schemas, mut stop) = (schemas.clone(), stop.clone());
        tokio::spawn(async move { schemas.of(&naming(ids), &mut stop).await })
    };
    let (one, two) = (ask(&[4]), ask(&[4, 5]));
    // It has been asked twice, and nobody has an answer.
    while desk.asked.load(Ordering::Relaxed) < 2 {
        tokio::task::yield_now().await;
    }
    assert!(!one.is_finished() && !two.is_finished());
    desk.status.store(0, Ordering::Relaxed);
    assert_eq!(one.await.unwrap().unwrap().unwrap(), [(4, None)]);
    assert_eq!(two.await.unwrap().unwrap().unwrap(), [(4, None), (5, None)]);
    let asked = desk.asked.load(Ordering::Relaxed);
    assert!(ask(&[5, 4]).await.unwrap().unwrap().is_some());
    assert_eq!(desk.asked.load(Ordering::Relaxed), asked, "what is known is not asked again");

    // A stop ends the wait, and there is no answer.
    desk.status.store(503, Ordering::Relaxed);
    let three = ask(&[6]);
    while desk.asked.load(Ordering::Relaxed) == asked {
        tokio::task::yield_now().await;
    }
    keep.send(true).unwrap();
    assert!(three.await.unwrap().unwrap().is_none());
}

#[tokio::test]
async fn who_is_not_let_in_is_told() {
    let (desk, options) = serve(Desk::default()).await;
    desk.status.store(401, Ordering::Relaxed);
    let schemas = Schemas::new(&options, "orders").unwrap();
    let (_keep, mut stop) = watch::channel(false);
    let refused = schemas.of(&naming(&[1]), &mut stop).await;
    assert!(matches!(refused, Err(SourceError::Config { .. })), "{refused:?}");
    // Records that name nothing ask nobody.
    let mut plain = Records::default();
    plain.push(b"{}", 0);
    assert_eq!(schemas.of(&plain, &mut stop).await.unwrap(), Some(Vec::new()));
}
