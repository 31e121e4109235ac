//! What each route matched is counted when it is kept: once, whatever is down, by the rules of then.

use faceway_testkit::receiver::Receiver;

use crate::harness::{Device, Gateway, LOBBY, Site, recognition, reload, replace, webhook};

async fn push(gateway: &Gateway, device: &str, uuids: &[&str]) {
    let mut connection = Device::connect(gateway.devices).await;
    for uuid in uuids {
        let answer = connection.push(&recognition(device, uuid)).await.unwrap();
        assert!(answer.is_success());
    }
}

/// Waits until so many are counted; what came before them is counted by then.
async fn counted(gateway: &Gateway, series: &str, wanted: f64) {
    gateway
        .wait_for_metric(series, |count| count == wanted)
        .await;
}

fn routes(down: &Receiver, up: &Receiver, device: &str) -> String {
    format!(
        "{LOBBY}{}{}[[route]]\nname = \"doors\"\nwhen = {{ \"device.id\" = \"{device}\" }}\nto = [\"down\", \"up\"]\n\n\
         [[route]]\nname = \"all doors\"\nwhen = {{ \"device.id\" = {{ like = \"PSC*\" }} }}\nto = [\"down\"]\n",
        webhook("down", down),
        webhook("up", up),
    )
}

const DOORS: &str = "faceway_routed_total{route=\"doors\"}";
const ALL_DOORS: &str = "faceway_routed_total{route=\"all doors\"}";
const UNROUTED: &str = "faceway_unrouted_total";

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_counted_once_while_the_first_destination_is_down() {
    let (down, up) = (Receiver::start().await, Receiver::start().await);
    down.refuse().await;
    let site = Site::new(&routes(&down, &up, "PSC1"));
    let gateway = site.start().await;
    let (_, text) = gateway.get("/metrics").await;
    for series in [DOORS, ALL_DOORS, UNROUTED] {
        assert!(text.contains(&format!("{series} 0\n")), "{text}");
    }
    push(&gateway, "PSC1", &["u-1", "u-2", "u-2", "u-3"]).await;
    push(&gateway, "PSC2", &["u-4"]).await;
    push(&gateway, "QQQ", &["u-5", "u-6"]).await;
    counted(&gateway, UNROUTED, 2.0).await;
    counted(&gateway, DOORS, 3.0).await;
    counted(&gateway, ALL_DOORS, 4.0).await;
    let waiting = "faceway_lane_state{outbound=\"down\",state=\"waiting\"}";
    counted(&gateway, waiting, 1.0).await;

    // By the rules of when they are kept.
    replace(&site, &routes(&down, &up, "PSC2"));
    assert_eq!(reload(&gateway).await.0, 200);
    push(&gateway, "PSC2", &["u-7"]).await;
    counted(&gateway, ALL_DOORS, 5.0).await;
    counted(&gateway, DOORS, 4.0).await;
    // A lane that comes to them late does not count them again.
    down.listen().await;
    gateway.delivered_all("down").await;
    let since = ["replay", "--to", "down", "--since", "1h"];
    site.ask(&gateway, &since).await;
    down.wait_for(10).await;
    gateway.delivered_all("down").await;
    for (series, wanted) in [(DOORS, 4.0), (ALL_DOORS, 5.0), (UNROUTED, 2.0)] {
        assert_eq!(gateway.metric(series).await, wanted, "{series}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_process_has_counted_is_not_counted_again() {
    let (down, up) = (Receiver::start().await, Receiver::start().await);
    down.refuse().await;
    let site = Site::new(&routes(&down, &up, "PSC1"));
    let gateway = site.start().await;
    push(&gateway, "PSC1", &["u-1", "u-2"]).await;
    counted(&gateway, DOORS, 2.0).await;
    assert!(gateway.stop().await.success());
    down.listen().await;
    let gateway = site.start().await;
    gateway.delivered_all("down").await;
    down.wait_for(2).await;
    assert_eq!(gateway.metric(DOORS).await, 0.0);
    push(&gateway, "PSC1", &["u-3"]).await;
    counted(&gateway, DOORS, 1.0).await;
}
