//! `faceway check`: every mistake at once, each with its place.

use crate::harness::{Site, replace, text, wait_for_log};

#[tokio::test]
async fn five_different_mistakes_are_told_at_once() {
    let routes = "\
[inbound.nebula.lobby]
pth = \"/in/lobby\"

[outbound.webhook.erp]
url = \"https://erp.example/faces\"
sign = [\"hunter2\"]

[[route]]
name = \"blocklisted\"
when = { \"person.category\" = \"blacklisted\", \"match.score\" = { min = \"high\" } }
to = [\"epr\"]
";
    let output = Site::new(routes).run(&["check"]).await;
    let told = text(&output.stderr) + &text(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{told}");
    let places = [
        "routes.toml:2:1",
        "routes.toml:6:9",
        "routes.toml:10:",
        "routes.toml:11:7",
    ];
    for part in places.into_iter().chain([
        "did you mean `path`",
        "blocklisted",
        "match.score",
        "did you mean `erp`",
    ]) {
        assert!(told.contains(part), "{part} is missing in:\n{told}");
    }
    assert_eq!(
        told.matches("routes.toml:10:").count(),
        2,
        "two mistakes in one line:\n{told}"
    );
    assert!(!told.contains("hunter2"), "a secret is shown:\n{told}");
}

#[tokio::test]
async fn a_word_of_an_adapter_is_checked() {
    let routes = "[inbound.se5.hall]\nimages = [\"face\", \"scenes\"]\n";
    let output = Site::new(routes).run(&["check"]).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains("routes.toml:2:19") && told.contains("did you mean `scene`"),
        "{told}"
    );
}

#[tokio::test]
async fn tests_of_the_rules_are_run() {
    let routes = "\
[inbound.nebula.lobby]
[outbound.stdout.screen]
[outbound.stdout.guard]
[[route]]
name = \"strangers\"
when = { \"person.category\" = \"stranger\" }
to = [\"guard\"]
[[route]]
name = \"rest\"
otherwise = true
to = [\"screen\"]
[[test]]
name = \"a stranger reaches the guard\"
given = { kind = \"recognition\", person = { category = \"stranger\" } }
expect = [\"guard\"]
";
    let output = Site::new(routes).run(&["check"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let wrong = routes.replace("expect = [\"guard\"]", "expect = [\"screen\"]");
    let output = Site::new(&wrong).run(&["check"]).await;
    let told = text(&output.stderr) + &text(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains("a stranger reaches the guard") && told.contains("strangers"),
        "{told}"
    );
}

#[tokio::test]
async fn a_gateway_with_a_bad_file_does_not_start() {
    let output = Site::new("[inbound.nebula.lobby]\npth = \"/x\"\n")
        .run(&["run"])
        .await;
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("routes.toml:2:1"));
}

#[tokio::test]
async fn the_files_of_the_repository_are_fine() {
    let routes =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/routes.toml")).unwrap();
    let site = Site::new(&routes);
    std::fs::copy(
        concat!(env!("CARGO_MANIFEST_DIR"), "/gateway.toml"),
        site.path().join("gateway.toml"),
    )
    .unwrap();
    let output = site.run(&["check"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[tokio::test]
async fn a_folder_or_device_is_no_secret_and_no_certificate() {
    let routes = "\
[inbound.nebula.lobby]
token = { file = \"folder\" }
[inbound.nebula.gate]
token = { file = \"/dev/zero\" }
[outbound.webhook.erp]
url = \"https://erp.example/faces\"
tls.ca = \"large.pem\"
";
    let site = Site::new(routes);
    std::fs::create_dir(site.path().join("folder")).unwrap();
    let large = std::fs::File::create(site.path().join("large.pem")).unwrap();
    large.set_len(3 * 1024 * 1024).unwrap();
    let output = site.run(&["check"]).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    for part in [
        "error: inbound.nebula.lobby.token: folder: it is a folder",
        "/dev/zero: it is a device",
        "large.pem: it is larger than 1 MiB",
    ] {
        assert!(told.contains(part), "{part} is missing in:\n{told}");
    }
    let output = site.run(&["run"]).await;
    let told = text(&output.stderr);
    assert!(!output.status.success(), "{told}");
    assert!(told.contains("folder"), "{told}");
    let output = site.run(&["check", "--routes", "/dev/zero"]).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains("larger than 16 MiB"), "{told}");
}

#[tokio::test]
async fn a_misspelt_secret_is_not_shown() {
    // Every line has a mistake, and so is shown; what stands in it is not.
    let routes = "\
[inbound.nebula.lobby]
tokn = \"hunter2\"
passphrse = \"hunter2\"
knock_word = \"hunter2\"
usr_password = [\"hunter2\", \"hunter2\"]
[outbound.webhook.erp]
url = \"http://me:hunter2@erp.example/hunter2/x?hunter2#hunter2\"
headers = { \"x-hub-kye\" = \"hunter2\", \"x-hub-kye\" = \"hunter2\" }
[outbound.mqtt.bus]
url = \"mqtts://bus.example/hunter2\"
";
    let gateway = "[listen]\nadmin_tokem = \"hunter2\"\nnobody_knows = \"hunter2\"\n";
    let site = Site::new(routes);
    std::fs::write(site.path().join("gateway.toml"), gateway).unwrap();
    for broken in ["", "x = [\n", "y = \"\n", "[z\n"] {
        std::fs::write(
            site.path().join("routes.toml"),
            format!(
                "{}{broken}",
                routes.replace("\", \"x-hub-kye\" = \"hunter2", "")
            ),
        )
        .unwrap();
        let output = site.run(&["check"]).await;
        let told = text(&output.stderr) + &text(&output.stdout);
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(!told.contains("hunter2"), "{broken:?}: {told}");
        assert!(
            !broken.is_empty() || told.contains("did you mean `token`"),
            "{told}"
        );
        // Without its end quote.
        let cut = format!("[inbound.nebula.lobby]\ntokn = \"hunter2\n{broken}");
        std::fs::write(site.path().join("routes.toml"), cut).unwrap();
        let told = text(&site.run(&["check"]).await.stderr);
        assert!(!told.contains("hunter2"), "{broken:?}: {told}");
        assert!(told.contains("routes.toml:2:"), "{told}");
    }
    std::fs::write(site.path().join("routes.toml"), routes).unwrap();
    let told = text(&site.run(&["check"]).await.stderr);
    assert!(!told.contains("hunter2"), "{told}");
}

/// Compose makes a blank of a variable that is not set, and that is no wish for silence.
#[tokio::test]
async fn a_log_filter_is_a_filter_or_an_error() {
    let site = Site::new("[inbound.nebula.lobby]\n").set("FACEWAY_LOG", "");
    let gateway = site.start().await;
    assert!(gateway.log().contains("running"));
    let site = Site::new("[inbound.nebula.lobby]\n").set("FACEWAY_LOG", "Verbose");
    let output = site.run(&["run"]).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains("\"Verbose\" is no level") && told.contains("info"),
        "{told}"
    );
}

/// Whatever opening finds out without a network, `check` and `run` tell alike, all at once, and as a mistake of the files:
/// a unit that restarts on failure must be able to tell.
#[tokio::test]
async fn what_cannot_be_opened_is_a_mistake_of_the_files() {
    let authority =
        "[outbound.mqtt.bus]\nurl = \"mqtts://bus.example\"\ntls = { ca = \"authority.pem\" }\n";
    let signed = "[outbound.webhook.erp]\nurl = \"https://erp.example/faces\"\nsign = [{ env = \"SIGN\" }]\n";
    let dialled =
        "[inbound.omni.campus]\nurl = \"wss://box.example/ws\"\ntls = { ca = \"authority.pem\" }\n";
    let route = "[[route]]\nname = \"all\"\nto = [\"bus\", \"erp\"]\n";
    let site = Site::new(&[authority, signed, dialled, route].concat())
        .set("SIGN", "whsec_not*base64")
        .set("FACEWAY_LISTEN__TLS__CERT", "authority.pem")
        .set("FACEWAY_LISTEN__TLS__KEY", "authority.pem");
    let page = "<html>Please log in</html>\n";
    std::fs::write(site.path().join("authority.pem"), page).unwrap();
    for command in ["check", "run"] {
        let output = site.run(&[command]).await;
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{command}: {told}");
        for (line, mistake) in [
            ("routes.toml:3:", "`tls.ca` holds no certificate in PEM"),
            (
                "routes.toml:6:",
                "`sign` secret 1: what follows `whsec_` must be base64",
            ),
            ("routes.toml:9:", "holds no certificate in PEM"),
        ] {
            assert!(
                told.contains(line) && told.contains(mistake),
                "{command}: {told}"
            );
        }
        assert!(told.contains("listen.tls.cert"), "{command}: {told}");
        assert!(!told.contains("not*base64"), "{command}: {told}");
    }
}

/// The operator who wonders why a value holds is told; a script gets the same as JSON, and nothing else.
#[tokio::test]
async fn each_value_of_the_gateway_says_where_it_comes_from() {
    let site = Site::new("[inbound.nebula.lobby]\n").set("FACEWAY_SPOOL__HISTORY", "2d");
    let gateway = "[spool]\nhistory = \"1d\"\nimages = \"1h\"\n\n[listen]\npublic_url = \"http://gateway/hunter2\"\n";
    std::fs::write(site.path().join("gateway.toml"), gateway).unwrap();
    let output = site.run(&["check", "--sources"]).await;
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let rows: Vec<Vec<&str>> = told
        .lines()
        .map(|line| line.split("  ").collect())
        .collect();
    let row = |key: &str| {
        let mut rows = rows.iter();
        let row = rows
            .find(|row| row[0] == key)
            .unwrap_or_else(|| panic!("{key}: {told}"));
        let cells = row
            .iter()
            .map(|cell| cell.trim())
            .filter(|cell| !cell.is_empty());
        cells.skip(1).collect::<Vec<_>>().join(" | ")
    };
    assert_eq!(row("limits.connections_max"), "4096 | default");
    assert_eq!(row("spool.images"), "\"1h\" | gateway.toml:3");
    assert_eq!(
        row("listen.public_url"),
        "\"http://gateway/********\" | gateway.toml:6"
    );
    let over = "\"2d\" | environment variable FACEWAY_SPOOL__HISTORY, over gateway.toml:2";
    assert_eq!(row("spool.history"), over);
    let output = site.run(&["check", "--sources", "--json"]).await;
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let history = json
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["key"] == "spool.history");
    assert_eq!(history.unwrap()["variable"], "FACEWAY_SPOOL__HISTORY");
    assert!(!json.to_string().contains("hunter2"));
    // A file that is wrong gives no list of what does not hold.
    std::fs::write(site.path().join("gateway.toml"), "[spool]\nhistroy = 1\n").unwrap();
    let output = site.run(&["check", "--sources", "--json"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    assert!(text(&output.stderr).contains("gateway.toml:2:1"));
}

/// Else a site in Tashkent gets its rule five hours late, and finds no error anywhere.
#[tokio::test]
async fn hours_without_a_zone_are_warned_of() {
    let route = "[inbound.nebula.lobby]\n[outbound.stdout.screen]\n[[route]]\nname = \"a\"\nto = [\"screen\"]\n";
    let hours = "when = { occurred_at = { hours = \"08:00-17:00\" } }\n";
    let warning = "`hours` without `zone` are those of UTC";
    let site = Site::new(&format!("{route}{hours}"));
    let output = site.run(&["check"]).await;
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(
        told.contains(warning) && told.contains("routes.toml:6:26"),
        "{told}"
    );
    let gateway = site.start().await;
    assert!(gateway.log().contains(warning), "{}", gateway.log());
    // What is edited while it runs is told as well.
    let days = hours.replace("hours = \"08:00-17:00\"", "days = [\"mon\"]");
    replace(&site, &format!("{route}{days}"));
    wait_for_log(&gateway, "`days` without `zone` are those of UTC").await;
}
