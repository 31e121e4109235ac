//! What becomes of an announcement later.

use super::*;

const BIRTH: &str = "homeassistant/status";

#[tokio::test]
async fn everything_is_announced_again_when_home_assistant_has_started() {
    for version in VERSIONS {
        let broker = broker().await;
        let mqtt = mqtt(announcing(&broker, version));
        for device in ["SN-1", "SN-2"] {
            until_delivered(&mqtt, &unpictured(device, 0)).await;
        }
        let subscriber = Subscriber::start(&broker, 1).await;
        let again = |got: &[Got]| {
            let fresh = |device| {
                let topic = config(device);
                got.iter()
                    .any(move |got| got.topic == topic && !got.retained)
            };
            fresh("SN-1") && fresh("SN-2")
        };
        assert!(!again(&subscriber.got()));
        broker.publish(BIRTH, "offline", false).await;
        broker.publish(BIRTH, "online", false).await;
        subscriber.until(again).await;
    }
}

/// Home Assistant publishes an empty configuration when its user deletes a device. It must stay away until it is seen again.
#[tokio::test]
async fn a_device_that_was_deleted_comes_back_with_its_next_event() {
    for version in VERSIONS {
        let broker = broker().await;
        let mqtt = Arc::new(mqtt(announcing(&broker, version)));
        for device in ["SN-1", "SN-2"] {
            until_delivered(&mqtt, &unpictured(device, 0)).await;
        }
        let subscriber = Subscriber::start(&broker, 1).await;
        subscriber.forget();
        broker.publish(&config("SN-1"), "", true).await;
        subscriber.catch_up().await;
        deliver(&mqtt, &unpictured("SN-2", 1)).await;
        assert_eq!(payloads(&subscriber, &config("SN-1")), [""]);
        let began = Instant::now();
        deliver(&mqtt, &unpictured("SN-1", 1)).await;
        assert!(began.elapsed() >= HOLD, "Home Assistant subscribes anew");
        subscriber.catch_up().await;
        assert_eq!(
            topics(&subscriber),
            [config("SN-1"), own("SN-2"), config("SN-1"), own("SN-1")]
        );
    }
}

/// What is kept at the broker about devices.
async fn kept(broker: &Mosquitto) -> Vec<String> {
    let late = Subscriber::start(broker, 1).await;
    let mut kept = topics(&late);
    kept.sort();
    kept
}

#[tokio::test]
async fn what_was_announced_is_taken_back_where_nothing_is_announced_any_more() {
    for version in VERSIONS {
        let broker = broker().await;
        let before = mqtt(announcing(&broker, version));
        until_delivered(&before, &seen("SN-1", 0)).await;
        before.close().await;
        let mut other = announcing(&broker, version);
        other.client_id = "faceway-other".into();
        let other = mqtt(other);
        until_delivered(&other, &unpictured("SN-2", 0)).await;
        other.close().await;
        let foreign = "homeassistant/device/faceway/0000000000000001/config";
        broker
            .publish(foreign, r#"{"device":{"name":"of another program"}}"#, true)
            .await;
        assert_eq!(kept(&broker).await.len(), 4);
        let mut settings = announcing(&broker, version);
        (settings.home_assistant, settings.withdraw) = (false, true);
        let after = mqtt(settings);
        let subscriber = Subscriber::start(&broker, 1).await;
        after.open();
        let gone = |got: &[Got]| {
            let gone = |topic| {
                got.iter()
                    .any(|got| got.topic == topic && got.payload.is_empty())
            };
            gone(config("SN-1")) && gone(picture("SN-1"))
        };
        subscriber.until(gone).await;
        let mut left = [config("SN-2"), foreign.to_owned()];
        left.sort();
        assert_eq!(kept(&broker).await, left, "only its own");
        deliver(&after, &seen("SN-1", 1)).await;
    }
}

#[tokio::test]
async fn an_outbound_that_is_retired_takes_back_what_it_announced() {
    let broker = broker().await;
    let mqtt = mqtt(announcing(&broker, 5));
    until_delivered(&mqtt, &seen("SN-1", 0)).await;
    assert_eq!(kept(&broker).await, [config("SN-1"), picture("SN-1")]);
    mqtt.retire().await;
    assert_eq!(kept(&broker).await, [""; 0]);
    // It was asked back.
    mqtt.open();
    until_delivered(&mqtt, &seen("SN-1", 1)).await;
    assert_eq!(kept(&broker).await, [config("SN-1"), picture("SN-1")]);
}
