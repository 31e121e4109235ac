//! `faceway simulate` plays the vendors: towards a gateway, and towards the vendors' own clients and receivers.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use faceway_testkit::receiver::{Behaviour, Received, Receiver};
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::harness::{Device, FACEWAY, PATIENCE, Site, recognition, text};

/// A simulator at work; it is killed when the test ends.
struct Simulator {
    child: Child,
    told: Lines<BufReader<ChildStderr>>,
}

impl Simulator {
    fn start(words: &str) -> Self {
        let mut command = Command::new(FACEWAY);
        command
            .arg("simulate")
            .args(words.split(' '))
            .env_clear()
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let told = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, told }
    }

    /// The next address that it says it has taken, which must be of `what`.
    async fn address(&mut self, what: &str) -> SocketAddr {
        let line = self.told.next_line();
        let line = tokio::time::timeout(PATIENCE, line).await.expect("a line");
        let line = line.unwrap().expect("an address");
        let address = line.strip_prefix(what).expect(what).trim_end_matches('/');
        address.split_once("://").unwrap().1.parse().unwrap()
    }

    /// Waits for its end; gives its exit code, and what it printed on both streams.
    async fn end(mut self) -> (i32, String, String) {
        let mut out = String::new();
        let mut stdout = self.child.stdout.take().unwrap();
        let ending = async {
            stdout.read_to_string(&mut out).await.unwrap();
            let mut talk = String::new();
            while let Some(line) = self.told.next_line().await.unwrap() {
                talk = talk + &line + "\n";
            }
            (self.child.wait().await.unwrap(), talk)
        };
        let (status, talk) = tokio::time::timeout(PATIENCE, ending)
            .await
            .expect("it ends");
        (status.code().unwrap(), out, talk)
    }

    /// SIGTERM, and its end.
    async fn stop(self) -> (i32, String, String) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        self.end().await
    }

    async fn run(words: &str) -> (i32, String, String) {
        Self::start(words).end().await
    }
}

/// One of the vendors' own programs, with Debian's Python.
struct Peer {
    child: Child,
    printed: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    fn start(name: &str, arguments: &[String]) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/peers");
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg("-u")
            .arg(path.join(name))
            .args(arguments)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("python3 is there, see ./run-tests");
        let printed = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, printed }
    }

    async fn line(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.printed.next_line()).await;
        match line.expect("a line").unwrap() {
            Some(line) => line,
            None => panic!(
                "it ended; ./run-tests installs what it needs:\n{}",
                self.errors().await
            ),
        }
    }

    async fn errors(&mut self) -> String {
        let mut errors = Vec::new();
        let mut stderr = self.child.stderr.take().unwrap();
        let _ = stderr.read_to_end(&mut errors).await;
        text(&errors)
    }
}

/// A websocket's client, as little of one as a test needs.
struct Client(WebSocketStream<TcpStream>);

impl Client {
    /// The status of the refusal when it is not let in.
    async fn connect(address: SocketAddr, path: &str) -> Result<Self, u16> {
        let stream = TcpStream::connect(address).await.unwrap();
        match client_async(format!("ws://{address}{path}"), stream).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    async fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// Everything that it is told until it is sent away.
    async fn hear(mut self) -> Vec<Value> {
        let mut heard = Vec::new();
        loop {
            let next = tokio::time::timeout(PATIENCE, self.0.next()).await;
            match next.expect("a message") {
                Some(Ok(Message::Text(text))) => heard.push(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(_))) => return heard,
                Some(Ok(other)) => panic!("{other:?}"),
                Some(Err(_)) | None => panic!("it was cut off"),
            }
        }
    }
}

async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    body: &str,
) -> (u16, Value) {
    let bearer = format!("Bearer {token}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("connection", "close"),
        ("content-type", "application/json"),
    ];
    let mut device = Device::connect(address).await;
    let answer = device.send(method, path, &headers, body.as_bytes()).await;
    let answer = answer.unwrap();
    (
        answer.status,
        serde_json::from_slice(&answer.body).unwrap_or_default(),
    )
}

/// The ids of a box's cameras, as its API tells them.
async fn cameras(api: SocketAddr) -> Vec<String> {
    let (status, answer) = ask(api, "GET", "/SophonDevice/api/Devices", "", "").await;
    assert_eq!(status, 200);
    let list = answer["data"]["devices_list"].as_array().unwrap();
    list.iter()
        .map(|device| device["device_id"].as_str().unwrap().to_owned())
        .collect()
}

fn event(received: &Received) -> Value {
    serde_json::from_slice(&received.body).unwrap()
}

#[tokio::test]
async fn the_vendor_s_own_client_reads_our_box() {
    let mut sim =
        Simulator::start("se5 --listen 127.0.0.1:0 --api-listen 127.0.0.1:0 --rate 100 --count 12");
    let socket = sim.address("websocket at ").await;
    let cameras = cameras(sim.address("API at ").await).await;
    let mut arguments = vec![format!("ws://{socket}")];
    arguments.extend(cameras.iter().cloned());
    let mut client = Peer::start("se5_client.py", &arguments);
    let mut events = HashSet::new();
    let mut seen_by = HashSet::new();
    for _ in 0..12 {
        let line = client.line().await;
        let (video, event) = line.split_once(' ').unwrap();
        seen_by.insert(video.to_owned());
        events.insert(event.to_owned());
    }
    assert_eq!(events.len(), 12);
    assert_eq!(seen_by, cameras.into_iter().collect());
    let (code, out, _) = sim.end().await;
    assert_eq!(code, 0);
    assert!(out.contains(": 12 sent"), "{out}");
}

#[tokio::test]
async fn the_vendor_s_own_receiver_takes_our_events() {
    let mut catcher = Peer::start("catcher.py", &[]);
    let running = catcher.line().await;
    let url = running.split(' ').find(|word| word.starts_with("http://"));
    let url = format!("{}/", url.expect(&running));
    let site = Site::new(&crate::harness::routes_to(&url, ""));
    let gateway = site.start().await;
    let mut device = Device::connect(gateway.devices).await;
    for uuid in ["u-1", "u-2"] {
        let answer = device.push(&recognition("PSC1", uuid)).await.unwrap();
        assert!(answer.is_success());
    }
    // Its 200 is the confirmation.
    let delivered = "faceway_attempts_total{outbound=\"erp\",result=\"delivered\",code=\"200\"}";
    gateway
        .wait_for_metric(delivered, |count| count == 2.0)
        .await;
    gateway.delivered_all("erp").await;
    let mut printed = String::new();
    while !["u-1", "u-2"].iter().all(|uuid| {
        let member = format!("'vendor_id': '{uuid}'");
        printed.contains(&member)
    }) {
        printed = printed + &catcher.line().await + "\n";
    }
    assert!(printed.contains("'name': 'Wanda Probst'"), "{printed}");
}

#[tokio::test]
async fn what_every_source_says_it_sent_arrives_once() {
    let receiver = Receiver::start().await;
    let routes = crate::harness::routes_to(&receiver.url(), "");
    let inbounds = "[inbound.findface.city]\n[inbound.omni.mall]\n[inbound.se5.hall]\n";
    let site = Site::new(&format!("{inbounds}{routes}"));
    let gateway = site.start().await;
    let at = |inbound: &str| format!("--to http://{}/in/{inbound}", gateway.devices);
    let runs = [
        format!("nebula {} --count 40 --rate 4000 --twice 5", at("lobby")),
        format!(
            "findface {} --count 40 --rate 4000 --batch 4 --verbose",
            at("city")
        ),
        format!("omni {} --count 40 --rate 4000", at("mall")),
        format!(
            "se5 {} --count 40 --rate 4000 --protocol v2 --images 500",
            at("hall")
        ),
    ];
    let runs: Vec<_> = runs
        .iter()
        .map(|words| Simulator::start(words).end())
        .collect();
    for (code, out, talk) in futures_util::future::join_all(runs).await {
        assert_eq!(code, 0, "{out}{talk}");
        assert!(out.starts_with("40 records in "), "{out}");
        assert!(out.contains(": 40 taken\n"), "{out}");
    }
    let received = receiver.wait_for(160).await;
    gateway.delivered_all("erp").await;
    let mut ids = BTreeMap::<String, HashSet<String>>::new();
    for event in received.iter().map(event) {
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        assert_eq!(event.get("warnings"), None, "{}", event["inbound"]);
        assert!(
            ids.entry(text("inbound")).or_default().insert(text("id")),
            "an event came twice"
        );
    }
    assert_eq!(receiver.received().len(), 160);
    let counts: Vec<_> = ids
        .iter()
        .map(|(name, ids)| (name.as_str(), ids.len()))
        .collect();
    assert_eq!(
        counts,
        [("city", 40), ("hall", 40), ("lobby", 40), ("mall", 40)]
    );
}

#[tokio::test]
async fn what_a_dialled_source_says_it_sent_arrives_once() {
    let receiver = Receiver::start().await;
    let words = "--listen 127.0.0.1:0 --count 60 --rate 600";
    let mut omni = Simulator::start(&format!("omni {words}"));
    let mut v1 = Simulator::start(&format!(
        "se5 {words} --api-listen 127.0.0.1:0 --images 900"
    ));
    let mut v2 = Simulator::start(&format!(
        "se5 {words} --api-listen 127.0.0.1:0 --protocol v2"
    ));
    let mall = omni.address("websocket at ").await;
    let mut inbounds =
        format!("[inbound.omni.mall]\nurl = \"ws://{mall}/event-service/ws?endpoint_id=e-1\"\n");
    for (name, box_) in [("hall", &mut v1), ("yard", &mut v2)] {
        let (url, api) = (
            box_.address("websocket at ").await,
            box_.address("API at ").await,
        );
        inbounds.push_str(&format!(
            "[inbound.se5.{name}]\nurl = \"ws://{url}\"\napi_url = \"http://{api}\"\n"
        ));
    }
    let routes = crate::harness::routes_to(&receiver.url(), "");
    let site = Site::new(&format!("{inbounds}{routes}"));
    let gateway = site.start().await;
    let ends = futures_util::future::join3(omni.end(), v1.end(), v2.end());
    for (code, out, talk) in <[_; 3]>::from(ends.await) {
        assert_eq!(code, 0, "{talk}");
        assert!(out.contains(": 60 sent"), "{out}");
        assert!(!out.contains("refusal"), "{out}");
    }
    let received = receiver.wait_for(180).await;
    gateway.delivered_all("erp").await;
    let ids: HashSet<String> = (received.iter())
        .map(|received| event(received)["id"].to_string())
        .collect();
    assert_eq!((ids.len(), receiver.received().len()), (180, 180));
    let named = (received.iter()).filter(|received| event(received)["inbound"] == "yard");
    assert_eq!(named.count(), 60);
}

#[tokio::test]
async fn findface_sends_a_whole_batch_again_until_it_hears_200() {
    let receiver = Receiver::start().await;
    for status in [202, 204] {
        receiver.script_next(Behaviour::status(status));
    }
    let words = format!(
        "findface --to {} --count 48 --batch 3 --rate 400",
        receiver.url()
    );
    let (code, out, talk) = Simulator::run(&words).await;
    assert_eq!(code, 0, "{out}{talk}");
    assert!(out.contains(": 48 taken\n2 failed attempts"), "{out}");
    let received = receiver.received();
    assert_eq!(received.len(), 18);
    let (taken, refused): (Vec<_>, Vec<_>) = received
        .iter()
        .partition(|request| request.answered == Some(200));
    let mut last = BTreeMap::<String, String>::new();
    for batch in &taken {
        let events = event(batch);
        let events = events.as_array().unwrap();
        assert_eq!(events.len(), 3);
        let of = |index: usize, name: &str| events[index][name].as_str().unwrap().to_owned();
        let types: HashSet<String> = (0..3).map(|index| of(index, "webhook_type")).collect();
        assert_eq!(types.len(), 1, "a batch holds one type");
        // The times of an episode are when it began.
        let is_episode = of(0, "webhook_type") == "human_episodes";
        let before = last.insert(of(0, "webhook_type"), of(0, "created_date"));
        assert!(is_episode || before < Some(of(0, "created_date")));
    }
    for batch in refused {
        assert!(
            taken.iter().any(|again| again.body == batch.body),
            "it came again, whole"
        );
    }
}

#[tokio::test]
async fn findface_gives_up_after_its_attempts() {
    let receiver = Receiver::start().await;
    receiver.script(Behaviour::status(503));
    let words = format!("findface --to {} --count 1 --attempts 2", receiver.url());
    let (code, out, talk) = Simulator::run(&words).await;
    assert_eq!(code, 1);
    assert!(
        out.contains("2 failed attempts, the last with HTTP 503"),
        "{out}"
    );
    assert_eq!(
        talk,
        "error: 0 still waiting, 1 lost: given up after 2 attempts\n"
    );
    assert_eq!(receiver.received().len(), 2);
}

#[tokio::test]
async fn an_omni_webhook_is_sent_once() {
    let receiver = Receiver::start().await;
    receiver.script_next(Behaviour::status(500));
    receiver.script_next(Behaviour::status(202));
    let words = format!("omni --to {} --count 3 --rate 1000", receiver.url());
    let (code, out, talk) = Simulator::run(&words).await;
    assert_eq!(code, 1);
    assert!(out.contains(": 2 taken"), "{out}");
    assert!(talk.contains("1 lost"), "{talk}");
    assert_eq!(receiver.received().len(), 3);
}

#[tokio::test]
async fn an_omni_socket_tells_those_who_are_there() {
    let mut sim = Simulator::start("omni --listen 127.0.0.1:0 --count 20 --rate 2000");
    let address = sim.address("websocket at ").await;
    for (path, status) in [
        ("/", 404),
        ("/event-service/faces/ws?endpoint_id=e-1", 404),
        ("/event-service/ws", 401),
        ("/event-service/roi/ws?access=t", 401),
    ] {
        let refused = Client::connect(address, path).await;
        assert_eq!(refused.err(), Some(status), "{path}");
    }
    let only = "/event-service/non_identification/ws?access=t";
    let heard = Client::connect(address, only).await.unwrap().hear().await;
    assert_eq!(heard.len(), 20);
    assert!(heard.iter().all(|one| one["type"] == "non_identification"));
    let (code, out, _) = sim.end().await;
    assert_eq!(code, 0);
    assert!(out.contains(": 20 sent"), "{out}");

    let mut sim = Simulator::start("omni --listen 127.0.0.1:0 --count 80 --rate 2000");
    let address = sim.address("websocket at ").await;
    let all = "/event-service/ws?endpoint_id=e-1";
    let heard = Client::connect(address, all).await.unwrap().hear().await;
    let distinct = |of: fn(&Value) -> &Value| {
        let distinct: HashSet<String> = heard.iter().map(|one| of(one).to_string()).collect();
        distinct.len()
    };
    assert_eq!(distinct(|one| &one["type"]), 3);
    assert_eq!((heard.len(), distinct(|one| &one["event"]["id"])), (80, 80));
}

#[tokio::test]
async fn a_box_is_silent_until_it_is_configured() {
    let mut sim = Simulator::start(
        "se5 --listen 127.0.0.1:0 --api-listen 127.0.0.1:0 --count 20 --rate 500 --images 100",
    );
    let socket = sim.address("websocket at ").await;
    let cameras = cameras(sim.address("API at ").await).await;
    let silent = Client::connect(socket, "/").await.unwrap();
    let mut misread = Client::connect(socket, "/").await.unwrap();
    // As the document prints it, which is no JSON.
    misread.say("{'need_face':True, 'event_list':['x']}").await;
    let mut told = Client::connect(socket, "/").await.unwrap();
    let wish = json!({ "need_face": true, "event_list": [cameras[1]] });
    told.say(&wish.to_string()).await;
    // All are told goodbye at the same moment, so by then the silent have missed what the other heard.
    let (told, silent, misread) = tokio::join!(told.hear(), silent.hear(), misread.hear());
    assert_eq!((told.len(), silent.len(), misread.len()), (20, 0, 0));
    for event in told {
        assert_eq!(event["device_id"], cameras[1].as_str());
        assert_eq!(event["reg_pic"], "", "it was not asked for");
        let face = event["ext_data"]["recognize_face"].as_str().unwrap();
        assert!(face.starts_with("/9j/"));
    }
    let (code, out, _) = sim.end().await;
    assert_eq!(code, 0);
    assert!(out.contains("1 refusal, the last with"), "{out}");
}

#[tokio::test]
async fn a_box_drops_what_a_client_does_not_read() {
    let mut sim = Simulator::start(
        "se5 --listen 127.0.0.1:0 --api-listen 127.0.0.1:0 --protocol v1 --count 1200 --rate 1000 --images 20000",
    );
    let socket = sim.address("websocket at ").await;
    let cameras = cameras(sim.address("API at ").await).await;
    let wish = |pictures: bool| {
        let wish =
            json!({ "need_face": pictures, "need_register": pictures, "event_list": cameras });
        wish.to_string()
    };
    // What a client's system keeps for it is no room of the box's; so let it keep little.
    let slow = TcpSocket::new_v4().unwrap();
    slow.set_recv_buffer_size(4096).unwrap();
    let slow = slow.connect(socket).await.unwrap();
    let (slow, _) = client_async(format!("ws://{socket}/"), slow).await.unwrap();
    let mut slow = Client(slow);
    slow.say(&wish(true)).await;
    let mut quick = Client::connect(socket, "/").await.unwrap();
    quick.say(&wish(false)).await;
    let heard = quick.hear().await;
    assert!(heard.len() > 600, "the slow one did not hold up the other");
    drop(slow);
    let (code, out, talk) = sim.end().await;
    assert_eq!(code, 0, "{talk}");
    let dropped = out
        .lines()
        .find(|line| line.ends_with("dropped: the client did not read"));
    let dropped = dropped.expect(&out).split(' ').next().unwrap();
    let dropped: u64 = dropped.replace(',', "").parse().unwrap();
    assert!(dropped > 100, "{out}");
}

#[tokio::test]
async fn a_box_reports_its_history_until_it_hears_200() {
    let receiver = Receiver::start().await;
    for status in [503, 204] {
        receiver.script_next(Behaviour::status(status));
    }
    let words = format!(
        "se5 --to {} --count 20 --rate 1000 --images 100",
        receiver.url()
    );
    let (code, out, talk) = Simulator::run(&words).await;
    assert_eq!(code, 0, "{talk}");
    assert!(out.contains(": 20 taken\n2 failed attempts"), "{out}");
    let ids: Vec<String> = (receiver.received().iter())
        .map(|one| event(one)["event_id"].to_string())
        .collect();
    assert_eq!(
        (ids.len(), ids.iter().collect::<HashSet<_>>().len()),
        (22, 20)
    );
    assert!(ids[0] == ids[1] && ids[1] == ids[2], "later ones wait");
}

#[tokio::test]
async fn a_record_that_comes_by_both_ways_is_kept_once() {
    let receiver = Receiver::start().await;
    // Both must know the other's address beforehand, so the gateway's port is kept for it.
    let port = TcpSocket::new_v4().unwrap();
    port.set_reuseaddr(true).unwrap();
    port.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let devices = port.local_addr().unwrap().to_string();
    let mut sim = Simulator::start(&format!(
        "se5 --listen 127.0.0.1:0 --api-listen 127.0.0.1:0 --to http://{devices}/in/hall --rate 40"
    ));
    let socket = sim.address("websocket at ").await;
    let api = sim.address("API at ").await;
    let inbound = format!(
        "[inbound.se5.hall]\nurl = \"ws://{socket}\"\napi_url = \"http://{api}\"\npath = \"/in/hall\"\n"
    );
    let routes = crate::harness::routes_to(&receiver.url(), "");
    let site = Site::new(&format!("{inbound}{routes}")).set("FACEWAY_LISTEN__DEVICES", &devices);
    let gateway = site.start().await;
    let counted =
        |result| format!("faceway_received_total{{inbound=\"hall\",result=\"{result}\"}}");
    for result in ["stored", "duplicate"] {
        gateway
            .wait_for_metric(&counted(result), |count| count >= 20.0)
            .await;
    }
    let (_, out, _) = sim.stop().await;
    assert!(out.contains(" sent, ") && out.contains(" taken\n"), "{out}");
    gateway.delivered_all("erp").await;
    let received = receiver.received();
    // No two records happen at the same moment.
    let moments: HashSet<String> = (received.iter())
        .map(|received| event(received)["occurred_at"].to_string())
        .collect();
    assert_eq!(moments.len(), received.len());
}

#[tokio::test]
async fn a_terminal_pushes_to_where_it_was_told() {
    let receiver = Receiver::start().await;
    let site = Site::new(&crate::harness::routes_to(&receiver.url(), ""));
    let gateway = site.start().await;
    let mut sim = Simulator::start(
        "nebula --listen 127.0.0.1:0 --username keeper --password sesame --count 5 --rate 1000",
    );
    let api = sim.address("API at ").await;
    let login = async |name: &str, password: &str| {
        let body = json!({ "username": name, "password": password, "validTime": 5 }).to_string();
        ask(api, "POST", "/v1/auth/login", "", &body).await.1
    };
    assert_eq!(login("stranger", "sesame").await["code"], 1000);
    assert_eq!(login("keeper", "guess").await["code"], 1001);
    let answer = login("keeper", "sesame").await;
    assert_eq!(
        (&answer["code"], &answer["msg"]),
        (&json!(200), &json!("OK"))
    );
    let token = answer["data"]["token"].as_str().unwrap();

    let path = "/v1/event/subscribe";
    let wish =
        json!({ "event_dest": format!("http://{}/in/lobby", gateway.devices), "enabled": true });
    assert_eq!(
        ask(api, "POST", path, "guess", &wish.to_string()).await.0,
        401
    );
    assert_eq!(ask(api, "GET", path, "guess", "").await.0, 401);
    assert_eq!(
        ask(api, "GET", path, token, "").await.1["data"],
        Value::Null
    );
    let nowhere = Receiver::start().await;
    let off = json!({ "event_dest": nowhere.url(), "enabled": false });
    let answer = ask(api, "POST", path, token, &off.to_string()).await.1;
    assert_eq!(answer["code"], 200);
    assert_eq!(ask(api, "GET", path, token, "").await.1["data"], off);
    assert_eq!(
        ask(api, "POST", path, token, &wish.to_string()).await.1["code"],
        200
    );
    assert_eq!(ask(api, "GET", path, token, "").await.1["data"], wish);

    let (code, out, talk) = sim.end().await;
    assert_eq!(code, 0, "{talk}");
    assert!(out.contains(": 5 taken\n"), "{out}");
    assert!(!out.contains("failed"), "{out}");
    assert_eq!(receiver.wait_for(5).await.len(), 5);
    assert_eq!(nowhere.received().len(), 0);
    assert!(gateway.stop().await.success());
}
