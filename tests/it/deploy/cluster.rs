//! What is shipped for several gateways at one site fits together. The programs themselves read their files: nats-server and
//! HAProxy; the names in them are compared here.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use faceway_testkit::broker::nats;
use serde_json::Value;

use super::{shipped, text_of};
use crate::harness::text;

/// The documents of a YAML file, with merges done.
fn yaml(path: &str) -> Vec<Value> {
    let program = "import json, sys, yaml\nprint(json.dumps(list(yaml.safe_load_all(sys.stdin)), default=str))";
    let output = Command::new("/usr/bin/python3")
        .args(["-c", program])
        .stdin(std::fs::File::open(shipped(path)).unwrap())
        .output()
        .expect("python3 is installed (./run-tests does it)");
    assert!(output.status.success(), "{path}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn one(path: &str) -> Value {
    let mut documents = yaml(path);
    assert_eq!(documents.len(), 1, "{path}");
    documents.remove(0)
}

fn texts(value: &Value) -> Vec<&str> {
    let values = value.as_array().into_iter().flatten();
    values.filter_map(Value::as_str).collect()
}

/// The services of the profile `cluster`.
fn services(compose: &Value) -> Vec<(&str, &Value)> {
    let services = compose["services"].as_object().unwrap().iter();
    let services = services.map(|(name, service)| (name.as_str(), service));
    services
        .filter(|(_, service)| texts(&service["profiles"]) == ["cluster"])
        .collect()
}

fn gateway_toml(dir: &str) -> toml::Table {
    text_of(&format!("{dir}/gateway.toml")).parse().unwrap()
}

#[test]
fn the_profile_s_services_are_watched_and_have_no_added_rights() {
    let compose = one("docker-compose.yml");
    let services = services(&compose);
    let names: BTreeSet<&str> = services.iter().map(|(name, _)| *name).collect();
    let expected = ["balancer", "gw-1", "gw-2", "nats-1", "nats-2", "nats-3"];
    assert_eq!(names, expected.into());
    // The image of the gateway has one of its own.
    assert!(text_of("Dockerfile").contains("\nHEALTHCHECK "));
    for (name, service) in services {
        let watched = service["image"] == "faceway" || service["healthcheck"]["test"].is_string();
        assert!(watched, "{name} has no health check");
        assert_eq!(texts(&service["cap_drop"]), ["ALL"], "{name}");
        let options = texts(&service["security_opt"]);
        assert_eq!(options, ["no-new-privileges:true"], "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        for wrong in ["privileged", "cap_add", "network_mode", "pid"] {
            assert!(service.get(wrong).is_none(), "{name} has {wrong}");
        }
    }
}

/// The servers' other ports need no password: they are reached by servers and gateways alone.
#[test]
fn the_servers_are_reached_by_the_gateways_alone() {
    let compose = one("docker-compose.yml");
    assert_eq!(compose["networks"]["servers"]["internal"], true);
    let config = text_of("deploy/nats/nats.conf");
    let listed = gateway_toml("deploy/cluster");
    let listed = listed["spool"]["jetstream"].to_string();
    for (name, service) in services(&compose) {
        let networks = texts(&service["networks"]);
        if name.starts_with("nats-") {
            assert_eq!(networks, ["servers"], "{name}");
            assert!(service.get("ports").is_none(), "{name} is open");
            assert_eq!(service["environment"]["NATS_NAME"], name);
            assert!(config.contains(&format!("\"nats://{name}:6222\"")));
            assert!(listed.contains(&format!("\"nats://{name}:4222\"")));
            assert!(listed.contains(&format!("\"http://{name}:8222\"")));
        } else if name.starts_with("gw-") {
            assert_eq!(networks, ["default", "servers"], "{name}");
            let environment = &service["environment"];
            assert_eq!(environment["FACEWAY_SPOOL__JETSTREAM__GATEWAY"], name);
        }
    }
    // Prometheus and the balancer know each gateway.
    for gateway in ["gw-1", "gw-2"] {
        assert!(
            text_of("deploy/prometheus/prometheus.yml").contains(&format!("\"{gateway}:9464\""))
        );
        let balancer = text_of("deploy/haproxy/haproxy.cfg");
        assert!(balancer.contains(&format!("server {gateway} {gateway}:8080")));
    }
    let routes = text_of("deploy/config/routes.toml");
    let rules = |text: &str| text.split_once("\n[outbound").unwrap().1.to_owned();
    let shared = rules(&text_of("deploy/cluster/routes.toml"));
    assert_eq!(rules(&routes), shared, "both go to the same brokers");
}

/// A number without quotes is no password to the servers, and an empty one protects nothing. This is how the containers start.
#[test]
fn the_servers_take_their_file_with_any_password() {
    let config = "deploy/nats/nats.conf";
    assert!(text_of(config).contains("\n  sync_interval: always\n"));
    let compose = one("docker-compose.yml");
    let command = texts(&compose["services"]["nats-1"]["command"]);
    let [shell, "-c", line] = command.as_slice() else {
        panic!("{command:?}")
    };
    let program = nats::program().display().to_string();
    let check = format!("exec {program} -t -c {}", shipped(config).display());
    let begin = "exec nats-server --config /etc/nats/nats.conf";
    assert!(line.ends_with(begin), "{line}");
    let line = line.replace("$$", "$").replace(begin, &check);
    for (password, fits) in [
        ("change-me", true),
        ("31415926", true),
        ("3k", true),
        ("1e5", true),
        ("", false),
    ] {
        let output = Command::new(shell)
            .args(["-c", &line])
            .env("NATS_NAME", "nats-1")
            .env("NATS_PASSWORD", password)
            .output()
            .unwrap();
        let told = text(&output.stderr) + &text(&output.stdout);
        assert_eq!(output.status.success(), fits, "{password}: {told}");
    }
}

#[test]
fn the_balancer_takes_its_file_and_waits_longer_than_a_gateway() {
    let file = "deploy/haproxy/haproxy.cfg";
    let paths = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin";
    let output = Command::new("haproxy")
        .args(["-c", "-f"])
        .arg(shipped(file))
        .env("PATH", paths)
        .stdin(Stdio::null())
        .output()
        .expect("haproxy is installed (./run-tests does it)");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let config = text_of(file);
    assert!(config.contains("httpchk GET /readyz") && config.contains("check port 9464"));
    assert!(config.contains("retry-on ") && config.contains(" 503\n"));
    let seconds = |key: &str| -> u64 {
        let rest = config.split(&format!("\n    timeout {key} ")).nth(1);
        let value = rest.unwrap().split("s\n").next().unwrap();
        value.parse().unwrap()
    };
    // append_timeout's default.
    assert!(seconds("server") > 15);
    // limits.header_timeout's and limits.body_timeout's.
    assert_eq!((seconds("http-request"), seconds("client")), (10, 60));
    // A path's query may carry a token.
    assert!(config.contains("%HPO") && !config.contains("%r") && !config.contains("httplog"));
}

/// Of a map's labels: each is in the pod's.
fn is_of(labels: &Value, pod: &Value) -> bool {
    let labels = labels.as_object().unwrap();
    !labels.is_empty() && labels.iter().all(|(name, value)| &pod[name] == value)
}

#[test]
fn the_gateways_on_kubernetes_fit_together() {
    let objects = yaml("deploy/kubernetes/faceway.yaml");
    let of = |kind: &'static str| objects.iter().filter(move |one| one["kind"] == kind);
    let deployment = of("Deployment").next().unwrap();
    let template = &deployment["spec"]["template"];
    let (labels, pod) = (&template["metadata"]["labels"], &template["spec"]);
    assert_eq!(deployment["spec"]["replicas"], 2);
    assert!(is_of(
        &deployment["spec"]["selector"]["matchLabels"],
        labels
    ));
    let budget = of("PodDisruptionBudget").next().unwrap();
    assert!(is_of(&budget["spec"]["selector"]["matchLabels"], labels));
    let container = &pod["containers"][0];
    let ports = container["ports"].as_array().unwrap();
    let number = |name: &Value| {
        let port = ports.iter().find(|port| &port["name"] == name);
        port.unwrap_or_else(|| panic!("no port is called {name}"))["containerPort"].clone()
    };
    assert_eq!(of("Service").count(), 2);
    for service in of("Service") {
        assert!(is_of(&service["spec"]["selector"], labels));
        for port in service["spec"]["ports"].as_array().unwrap() {
            number(&port["targetPort"]);
        }
    }
    let config = gateway_toml("deploy/kubernetes/config");
    for (key, name) in [("devices", "devices"), ("admin", "admin")] {
        let address = config["listen"][key].as_str().unwrap();
        assert!(address.ends_with(&format!(":{}", number(&name.into()))));
    }
    for (probe, path) in [
        ("startupProbe", "/healthz"),
        ("livenessProbe", "/healthz"),
        ("readinessProbe", "/readyz"),
    ] {
        let asked = &container[probe]["httpGet"];
        assert_eq!(
            (&asked["path"], &asked["port"]),
            (&path.into(), &"admin".into())
        );
    }
    assert_eq!(pod["terminationGracePeriodSeconds"], 30);
    let security = (&pod["securityContext"], &container["securityContext"]);
    assert_eq!(security.0["runAsNonRoot"], true);
    assert_eq!(security.0["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(security.1["allowPrivilegeEscalation"], false);
    assert_eq!(texts(&security.1["capabilities"]["drop"]), ["ALL"]);
    mounts_are_there(pod, &config);
    secrets_have_one_name(container, &config);
}

/// What is mounted is there, and where the gateway looks for it.
fn mounts_are_there(pod: &Value, config: &toml::Table) {
    let volumes = pod["volumes"].as_array().unwrap();
    let kept = config["spool"]["dir"].as_str().unwrap();
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    for mount in mounts {
        assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]));
    }
    for path in [kept, "/etc/faceway"] {
        assert!(
            mounts.iter().any(|mount| mount["mountPath"] == path),
            "{path}"
        );
    }
    let kustomization = one("deploy/kubernetes/kustomization.yaml");
    let generated = &kustomization["configMapGenerator"][0];
    assert!(
        volumes
            .iter()
            .any(|volume| volume["configMap"]["name"] == generated["name"])
    );
    let listed = texts(&generated["files"])
        .into_iter()
        .chain(texts(&kustomization["resources"]));
    for file in listed {
        assert!(shipped("deploy/kubernetes").join(file).exists(), "{file}");
    }
}

/// What the gateway, the servers and the README call the secret and its keys.
fn secrets_have_one_name(container: &Value, config: &toml::Table) {
    let name = &container["envFrom"][0]["secretRef"]["name"];
    let readme = text_of("deploy/kubernetes/README.md");
    let made = format!("create secret generic {} ", name.as_str().unwrap());
    assert!(readme.contains(&made), "{made}");
    for secret in [
        &config["listen"]["admin_token"],
        &config["spool"]["jetstream"]["password"],
    ] {
        let key = secret["env"].as_str().unwrap();
        assert!(readme.contains(&format!("--from-literal={key}=")), "{key}");
    }
    let values = one("deploy/kubernetes/nats-values.yaml");
    let of_servers = &values["container"]["env"]["NATS_PASSWORD"]["valueFrom"]["secretKeyRef"];
    assert_eq!(
        (&of_servers["name"], &of_servers["key"]),
        (name, &"NATS_PASSWORD".into())
    );
    let servers = &values["config"];
    assert_eq!(servers["jetstream"]["merge"]["sync_interval"], "always");
    assert_eq!(servers["cluster"]["replicas"], 3);
    assert_eq!(servers["merge"]["authorization"]["user"], "faceway");
    assert_eq!(
        values["podDisruptionBudget"]["merge"]["spec"]["maxUnavailable"],
        1
    );
    let monitored = config["spool"]["jetstream"]["monitor"].as_array().unwrap();
    assert_eq!(monitored.len(), 3);
}

/// The name by the environment is a key of gateway.toml, and stands in its place.
#[tokio::test]
async fn the_environment_names_the_gateway() {
    let site = crate::harness::Site::new("");
    for dir in ["deploy/cluster", "deploy/kubernetes/config"] {
        let file = |name: &str| shipped(dir).join(name).display().to_string();
        let site = site.path().join("empty");
        std::fs::create_dir_all(&site).unwrap();
        let output = Command::new(crate::harness::FACEWAY)
            .args(["check", "--sources", "--routes", &file("routes.toml")])
            .args(["--gateway", &file("gateway.toml")])
            .env_clear()
            .env("FACEWAY_SPOOL__JETSTREAM__GATEWAY", "gw-7")
            .current_dir(&site)
            .output()
            .unwrap();
        let told = text(&output.stdout);
        let line = told.lines().find(|line| line.contains("gw-7"));
        assert!(
            line.is_some_and(|line| line.contains("jetstream.gateway")),
            "{told}"
        );
    }
}
