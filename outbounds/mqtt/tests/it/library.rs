//! Why the library's event loop is not used. When this test fails, that may have changed: see the crate's README.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{AsyncClient, Event, Incoming, MqttOptions};
use tokio::time::timeout;

use crate::peer::{Peer, broker, reason};

const WINDOW: u16 = 4;

/// A message of QoS 2 that a broker refuses keeps its place in the library's window for ever: after as many as the window
/// has places, no message goes out any more, on a connection in perfect health. (`peer` has the same for ours.)
#[tokio::test]
async fn refused_messages_wedge_the_librarys_event_loop() {
    let published = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&published);
    let answer = broker(move |packet| {
        counted.fetch_add(1, Ordering::SeqCst);
        reason(5, packet, 0x87)
    });
    let peer = Peer::start(answer).await;
    let mut options = MqttOptions::new("bare", "127.0.0.1", peer.address.port());
    options.set_outgoing_inflight_upper_limit(WINDOW);
    options.set_keep_alive(Duration::from_secs(5));
    let (client, mut events) = AsyncClient::new(options, 10);
    for _ in 0..WINDOW + 1 {
        let publish = client.publish("a", QoS::ExactlyOnce, false, "x");
        publish.await.unwrap();
    }
    // Pongs show that the connection lives, long after all was handed over.
    let mut pongs = 0;
    while pongs < 2 {
        let event = timeout(Duration::from_secs(60), events.poll()).await;
        let event = event.unwrap().expect("a healthy connection");
        pongs += usize::from(matches!(event, Event::Incoming(Incoming::PingResp(_))));
    }
    let published = published.load(Ordering::SeqCst);
    assert_eq!(
        published,
        usize::from(WINDOW),
        "the library has been mended"
    );
}
