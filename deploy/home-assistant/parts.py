"""The parts of the check: a broker, a gateway and a Home Assistant, each a process of its own on free ports of 127.0.0.1."""

import base64
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

import websocket

PATIENCE_S = 60
# The first Home Assistant of a root is busy installing.
SLOW_S = 600


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(what, wanted, seconds=PATIENCE_S):
    """Asks again until `wanted` gives something; ends with an error when it does not."""
    end = time.monotonic() + seconds
    while True:
        got = wanted()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.2)


def http(method, url, body=None, token=None, form=False, headers=()):
    """Status and answer, JSON where it is that."""
    headers = dict(headers)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None
    if form:
        data = urllib.parse.urlencode(body).encode()
    elif body is not None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=SLOW_S) as answer:
            status, raw = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, raw = error.code, error.read()
    try:
        return status, json.loads(raw)
    except ValueError:
        return status, raw


class Process:
    """Ends what it has started, by its number."""

    def __init__(self, directory, name):
        self.directory, self.name, self.child = directory, name, None

    def spawn(self, command, **options):
        log = open(self.log_path(), "ab")
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)
        log.close()

    def log_path(self):
        return Path(self.directory) / f"{self.name}.log"

    def log(self):
        return self.log_path().read_text(errors="replace")

    def stop(self, how=signal.SIGTERM):
        if self.child and self.child.poll() is None:
            self.child.send_signal(how)
            self.child.wait(60)
        self.child = None

    def runs(self):
        if self.child.poll() is not None:
            raise AssertionError(f"{self.name} has ended: {self.log()[-2000:]}")
        return True


class Broker(Process):
    """Mosquitto, and what is retained there."""

    def __init__(self, directory):
        super().__init__(directory, "mosquitto")
        self.port = free_port()
        config = Path(directory) / "mosquitto.conf"
        config.write_text(f"user root\nlistener {self.port} 127.0.0.1\nallow_anonymous true\n")
        program = "/usr/sbin/mosquitto" if os.path.exists("/usr/sbin/mosquitto") else "mosquitto"
        self.spawn([program, "-c", str(config)])
        until("the broker listens", lambda: self.runs() and self.retained() is not None)

    def retained(self, topic="#"):
        """Topic → payload of everything that is kept; None while the broker is not there."""
        command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.port), "-t", topic, "--retained-only"]
        done = subprocess.run([*command, "-W", "1", "-F", "%t\t%p"], capture_output=True, text=True)
        if done.returncode not in (0, 27):
            return None
        return dict(line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line)

    def configurations(self):
        return {t: p for t, p in self.retained("homeassistant/#").items() if t.endswith("/config")}

    def publish(self, topic, payload, retain=False):
        command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.port), "-q", "1", "-t", topic, "-m", payload]
        subprocess.run(command + (["-r"] if retain else []), check=True)


class Gateway(Process):
    """Faceway, with one SenseNebula inbound at /in/door."""

    def __init__(self, directory, program, broker):
        super().__init__(directory, "faceway")
        self.program, self.broker = program, broker
        self.devices, self.admin = free_port(), free_port()
        self.home_assistant = True
        self.serial = 0

    def start(self):
        self.write_routes()
        environment = {
            **os.environ,
            "FACEWAY_LISTEN__DEVICES": f"127.0.0.1:{self.devices}",
            "FACEWAY_LISTEN__ADMIN": f"127.0.0.1:{self.admin}",
            "FACEWAY_LISTEN__PUBLIC_URL": f"http://127.0.0.1:{self.devices}",
            "FACEWAY_SPOOL__DIR": str(Path(self.directory) / "data"),
            "FACEWAY_SPOOL__FREE_MIN": "1MiB",
        }
        self.spawn([self.program, "run"], cwd=self.directory, env=environment)
        until("the gateway is ready", lambda: self.runs() and self.is_ready())

    def is_ready(self):
        try:
            return http("GET", f"http://127.0.0.1:{self.admin}/readyz")[0] == 200
        except OSError:
            return False

    def write_routes(self, outbound=True):
        text = '[inbound.nebula.door]\n'
        if outbound:
            text += f"""
[outbound.mqtt.home]
url = "mqtt://127.0.0.1:{self.broker.port}"
home_assistant = {str(self.home_assistant).lower()}
images = "url"

[[route]]
name = "everything that the doors see"
when = {{ kind = ["recognition", "alarm"] }}
to = ["home"]
"""
        (Path(self.directory) / "routes.toml").write_text(text)

    def reload(self):
        status, said = http("POST", f"http://127.0.0.1:{self.admin}/api/v1/reload", {})
        assert status == 200, said

    def push(self, device, record):
        status, said = http("POST", f"http://127.0.0.1:{self.devices}/in/door", record, headers={"sn": device})
        assert status == 200, (status, said)

    def face(self, device, name, category="employee", picture=None):
        """Somebody at a door; `picture` is the bytes of one."""
        self.serial += 1
        number = {"employee": 1, "visitor": 2, "blocklisted": 5}[category]
        user = {"name": name, "user_id": str(self.serial), "type": number, "groups": []}
        image = base64.b64encode(picture).decode() if picture else " "
        self.push(device, {"type": 0, "data": {
            "deviceSN": device, "recognitionType": number, "entry_mode": 1, "abnormal_type": 0,
            "uuid": str(uuid.uuid4()), "recognizeScore": 0.9, "mask": 0, "mode": 3, "rgb_image": image,
            "bodyTemperature": 0.0, "pass": number != 5, "timestamp": int(time.time()), "user": user}})

    def alarm(self, device, code=None, status=1):
        """`code` 10002 is a forced door; status 1 is raised, 3 is cleared."""
        self.serial += 1
        data = {"trace_id": f"SPX-{time.time_ns()}-{self.serial}", "description": " ", "status": status,
                "event_time": int(time.time() * 1000), "alarm_photo": " "}
        if code:
            data["code"] = code
        self.push(device, {"type": 1, "data": data})


class Home(Process):
    """Home Assistant, with one user, and with what he may ask."""

    def __init__(self, directory, root):
        super().__init__(directory, "home-assistant")
        self.root = Path(root)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        # Below the root, as the process sees nothing else.
        self.config = Path("/var/home-assistant") / Path(directory).name
        self.outside = self.root / self.config.relative_to("/")
        self.outside.mkdir(parents=True)
        (self.outside / "configuration.yaml").write_text(
            f"""homeassistant:
  name: Check
api:
auth:
config:
image:
onboarding:
websocket_api:
http:
  server_host: 127.0.0.1
  server_port: {self.port}
automation: !include automations.yaml
logger:
  default: warning
"""
        )
        self.automations("[]\n")
        self.token = None

    def automations(self, text):
        (self.outside / "automations.yaml").write_text(text)

    def start(self):
        self.spawn(["chroot", str(self.root), "/opt/home-assistant/bin/hass", "--config", str(self.config)])
        # The first of a root installs what its integrations need.
        until("Home Assistant answers", lambda: self.runs() and self.is_up(), SLOW_S)

    def is_up(self):
        try:
            if self.token is None:
                return http("GET", f"{self.url}/api/onboarding")[0] == 200
            status, said = http("GET", f"{self.url}/api/config", token=self.token)
            return status == 200 and said["state"] == "RUNNING"
        except OSError:
            return False

    def welcome(self, broker):
        """The first user, and the MQTT integration as he sets it up."""
        client = f"{self.url}/"
        person = {"name": "Check", "username": "check", "password": "check-check", "client_id": client, "language": "en"}
        status, said = http("POST", f"{self.url}/api/onboarding/users", person)
        assert status == 200, said
        code = {"grant_type": "authorization_code", "code": said["auth_code"], "client_id": client}
        status, said = http("POST", f"{self.url}/auth/token", code, form=True)
        assert status == 200, said
        # It is good for half an hour only.
        self.token = said["access_token"]
        self.token = self.ask("auth/long_lived_access_token", client_name="check", lifespan=1)
        flows = f"{self.url}/api/config/config_entries/flow"
        status, said = http("POST", flows, {"handler": "mqtt", "show_advanced_options": False}, self.token)
        while status == 200 and said["type"] in ("form", "menu"):
            answer = {"next_step_id": "broker"}
            if said["type"] == "form":
                assert not said.get("errors"), said
                answer = {"broker": "127.0.0.1", "port": broker.port}
                # Since 2026.3.
                if any(field["name"] == "other_settings" for field in said["data_schema"]):
                    answer["other_settings"] = {"set_client_cert": False, "set_ca_cert": "off"}
            status, said = http("POST", f"{flows}/{said['flow_id']}", answer, self.token)
        assert status == 200 and said["type"] == "create_entry", said
        # Automations wait for it.
        until("Home Assistant has started", self.is_up, SLOW_S)

    def ask(self, command, **arguments):
        """One command of the websocket API, which must be a success."""
        said = self.asks(command, **arguments)
        assert said["success"], said
        return said["result"]

    def asks(self, command, **arguments):
        line = websocket.create_connection(f"ws://127.0.0.1:{self.port}/api/websocket", timeout=SLOW_S)
        try:
            line.recv()
            line.send(json.dumps({"type": "auth", "access_token": self.token}))
            said = json.loads(line.recv())
            assert said["type"] == "auth_ok", said
            line.send(json.dumps({"id": 1, "type": command, **arguments}))
            return json.loads(line.recv())
        finally:
            line.close()

    def state(self, entity):
        status, said = http("GET", f"{self.url}/api/states/{entity}", token=self.token)
        return said if status == 200 else None

    def states(self):
        return http("GET", f"{self.url}/api/states", token=self.token)[1]

    def device(self, serial):
        for device in self.ask("config/device_registry/list"):
            if device.get("serial_number") == serial:
                return device
        return None

    def call(self, service, **data):
        status, said = http("POST", f"{self.url}/api/services/{service}", data, self.token)
        assert status == 200, said

    def rings(self):
        """What the automations have notified since the last start: title and message."""
        return sorted((one["title"], one["message"]) for one in self.ask("persistent_notification/get"))

    def hush(self):
        self.call("persistent_notification/dismiss_all")

    def delete(self, device):
        """As the button of the device's page does."""
        if self.asks("config/device_registry/remove", device_id=device["id"])["success"]:
            return
        # Before 2026.10.
        entry = next(one["entry_id"] for one in self.ask("config_entries/get") if one["domain"] == "mqtt")
        self.ask("config/device_registry/remove_config_entry", device_id=device["id"], config_entry_id=entry)

    def picture(self, entity):
        """The bytes that a dashboard shows."""
        shown = self.state(entity)["attributes"]["entity_picture"]
        status, raw = http("GET", f"{self.url}{shown}")
        return raw if status == 200 else None
