//! The suite of the third contract: every outbound goes through [`all`].

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faceway_core::{DeviceKey, Message, Outbound, RecordKey, Scope, Timestamp, Verdict};
use tokio::task::JoinSet;

/// What a far side can do to a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It confirms.
    Confirm,
    /// It confirms, but late: well within the outbound's timeout.
    Slow,
    /// It cannot be reached.
    Refuse,
    /// It takes the message and says nothing.
    Hang,
    /// It breaks the connection in the middle of a delivery.
    Cut,
    /// It is reached and says that the message is too large.
    TooLarge,
}

/// A far side for the suite, of one protocol.
pub trait Harness: Send + Sync {
    /// An outbound that delivers to this far side.
    fn outbound(&self) -> Arc<dyn Outbound>;

    /// The timeout that the outbound was given. Short: the suite waits for it.
    fn timeout(&self) -> Duration;

    /// The far side does this from now on. It is in force when the future ends.
    fn set(&self, fate: Fate) -> impl Future<Output = ()> + Send;

    /// Whether the protocol has such a fate.
    fn knows(&self, _fate: Fate) -> bool {
        true
    }

    /// The bodies that the far side has got so far, confirmed or not.
    fn seen(&self) -> impl Future<Output = Vec<Bytes>> + Send;

    /// Ends as soon as a delivery that began after [`Fate::Hang`] was set is in the far side's hands.
    fn wait_hanging(&self) -> impl Future<Output = ()> + Send;
}

/// Every promise of [`Outbound`], one after another.
///
/// # Panics
/// When one is broken.
pub async fn all(harness: &impl Harness) {
    confirmed_is_delivered(harness).await;
    late_is_delivered(harness).await;
    many_at_once_are_all_delivered(harness).await;
    for fate in [Fate::Refuse, Fate::Hang, Fate::Cut] {
        trouble_is_the_destinations(harness, fate).await;
    }
    too_large_is_buried(harness).await;
    giving_up_harms_nothing(harness).await;
    harness.outbound().close().await;
}

/// A message with this text in it. Different texts have different ids.
pub fn message(text: &str) -> Message {
    let id = RecordKey::weak(&["suite", text]).id("suite", super::spool::time(0));
    let body = format!(r#"{{"schema":"faceway.event/1","id":"{id}","text":"{text}"}}"#);
    Message {
        id,
        kind: "recognition".into(),
        device: DeviceKey::new("suite", "device"),
        received_at: Timestamp::from_seconds(1_795_334_400).expect("a time"),
        address: "suite/device/recognition".to_owned().into(),
        headers: vec![("x-site".into(), "suite".to_owned().into())],
        content_type: "application/json",
        body: Bytes::from(body).into(),
    }
}

async fn confirmed_is_delivered(harness: &impl Harness) {
    harness.set(Fate::Confirm).await;
    let outbound = harness.outbound();
    for text in [
        "confirmed one",
        "confirmed two",
        "Ünïcödé 王五 \u{2028} \\n",
    ] {
        delivered(&*outbound, &message(text)).await;
        assert_eq!(
            times_seen(harness, text).await,
            1,
            "{text} is there, once and as it was"
        );
    }
}

async fn late_is_delivered(harness: &impl Harness) {
    if harness.knows(Fate::Slow) {
        harness.set(Fate::Slow).await;
        delivered(&*harness.outbound(), &message("slow")).await;
        assert_eq!(times_seen(harness, "slow").await, 1);
    }
}

async fn many_at_once_are_all_delivered(harness: &impl Harness) {
    harness.set(Fate::Confirm).await;
    let outbound = harness.outbound();
    let mut deliveries = JoinSet::new();
    for at in 0..32 {
        let outbound = Arc::clone(&outbound);
        let message = message(&format!("one of many {at}"));
        deliveries.spawn(async move { outbound.deliver(&message).await });
    }
    for verdict in deliveries.join_all().await {
        assert!(matches!(verdict, Verdict::Delivered { .. }), "{verdict:?}");
    }
    for at in 0..32 {
        assert_eq!(times_seen(harness, &format!("one of many {at}")).await, 1);
    }
}

/// Trouble of the destination is told as such, in time; and with the trouble over, the same outbound delivers again.
async fn trouble_is_the_destinations(harness: &impl Harness, fate: Fate) {
    if !harness.knows(fate) {
        return;
    }
    let outbound = harness.outbound();
    harness.set(Fate::Confirm).await;
    delivered(&*outbound, &message(&format!("before {fate:?}"))).await;
    harness.set(fate).await;
    // A hanging one costs its whole timeout, so once must do.
    let rounds = if fate == Fate::Hang { 1 } else { 3 };
    for round in 0..rounds {
        let message = message(&format!("during {fate:?} {round}"));
        // Ten times its own timeout is no timing assertion, but the difference between an end and none.
        let verdict =
            tokio::time::timeout(harness.timeout() * 10, outbound.deliver(&message)).await;
        let verdict = verdict.unwrap_or_else(|_| Verdict::Bury {
            code: faceway_core::Code::word("it-did-not-end-by-itself"),
        });
        let expected = matches!(
            verdict,
            Verdict::Retry {
                scope: Scope::Destination,
                ..
            }
        );
        assert!(expected, "{fate:?}: {verdict:?}");
        short_word(&verdict);
    }
    harness.set(Fate::Confirm).await;
    let text = format!("after {fate:?}");
    delivered(&*outbound, &message(&text)).await;
    assert_eq!(times_seen(harness, &text).await, 1);
}

async fn too_large_is_buried(harness: &impl Harness) {
    if harness.knows(Fate::TooLarge) {
        harness.set(Fate::TooLarge).await;
        let verdict = harness.outbound().deliver(&message("too large")).await;
        assert!(matches!(verdict, Verdict::Bury { .. }), "{verdict:?}");
        short_word(&verdict);
    }
}

/// A delivery that is dropped half-way harms neither those beside it nor those after it.
async fn giving_up_harms_nothing(harness: &impl Harness) {
    harness.set(Fate::Hang).await;
    let outbound = harness.outbound();
    let given_up = message("given up");
    tokio::select! {
        // It may also end by its own timeout before the far side is asked; both are a way to give up.
        _ = outbound.deliver(&given_up) => {}
        () = harness.wait_hanging() => {}
    }
    harness.set(Fate::Confirm).await;
    for at in 0..3 {
        let text = format!("after giving up {at}");
        delivered(&*outbound, &message(&text)).await;
        assert_eq!(times_seen(harness, &text).await, 1);
    }
}

async fn delivered(outbound: &dyn Outbound, message: &Message) {
    let verdict = outbound.deliver(message).await;
    assert!(
        matches!(verdict, Verdict::Delivered { .. }),
        "{:?}: {verdict:?}",
        message.id
    );
    short_word(&verdict);
}

/// A code is a label of a metric.
fn short_word(verdict: &Verdict) {
    let code = verdict.code().as_str();
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    assert!(
        (1..=24).contains(&code.len()) && code.bytes().all(fits),
        "{code:?} is no short word"
    );
}

async fn times_seen(harness: &impl Harness, text: &str) -> usize {
    let body = message(text).body;
    let seen = harness.seen().await;
    seen.iter().filter(|seen| *seen == body.reveal()).count()
}
