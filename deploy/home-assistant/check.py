"""What a user of Home Assistant sees of Faceway. Called by ../check-home-assistant with the gateway's program, the root that
Home Assistant is in, and a directory for what the processes write."""

import re
import subprocess
import sys
import time
import zlib
from pathlib import Path

from parts import Broker, Gateway, Home, http, until

HERE = Path(__file__).parent
PLACEHOLDER = "0123456789abcdef0123456789abcdef"
DEVICE = "SN-FRONT"
OTHER = "SN-BACK"
# Home Assistant has subscribed by then; Faceway waits 2 s.
SOON = 10
# Long enough for a false alarm to come.
QUIET = 5

failures = 0


def check(name, seen):
    """Prints one line. `seen` is true, or a call that is asked until it is."""
    global failures
    try:
        good = until(name, seen, SOON) if callable(seen) else seen
    except AssertionError:
        good = False
    print(("ok      " if good else "not ok  ") + name, flush=True)
    failures += not good


def picture(shade):
    """A PNG of one pixel."""
    def chunk(kind, data):
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    head = (1).to_bytes(4) * 2 + bytes([8, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes([0, shade]))) + chunk(b"IEND", b"")


def cookbook():
    """The automations as they stand in the cookbook."""
    text = (HERE / "../../docs/cookbook.md").read_text()
    blocks = re.findall(r"^```yaml home-assistant\n(.*?)^```", text, re.M | re.S)
    assert len(blocks) == 2, "the cookbook's automations are not found"
    return "".join(blocks)


class Check:
    def __init__(self, program, root, directory):
        self.broker = Broker(directory)
        self.gateway = Gateway(directory, program, self.broker)
        self.home = Home(directory, root)

    def entity(self, kind, serial=DEVICE):
        """By the device, as the name of an entity is the user's."""
        device = self.home.device(serial)
        for one in self.home.ask("config/entity_registry/list"):
            if device and one["device_id"] == device["id"] and one["unique_id"].endswith(kind):
                return one["entity_id"]
        return None

    def attributes(self, kind, serial=DEVICE):
        entity = self.entity(kind, serial)
        state = entity and self.home.state(entity)
        return state["attributes"] if state and state["state"] not in ("unknown", "unavailable") else {}

    def sees(self, name, serial=DEVICE):
        return lambda: self.attributes("_person", serial).get("person") == name

    def shows(self, raw):
        return lambda: self.home.picture(self.entity("_picture")) == raw

    def run(self):
        self.home.start()
        self.home.welcome(self.broker)
        self.gateway.start()
        self.first_event()
        self.pictures()
        self.automations()
        self.alarms()
        self.restarts()
        self.deleted()
        self.withdrawn()
        self.log()

    def first_event(self):
        self.gateway.face(DEVICE, "One", "blocklisted", picture(1))
        check("the first person at a new door is seen", self.sees("One"))
        check("... with the picture", self.shows(picture(1)))
        self.gateway.face(OTHER, "Two")
        began = time.monotonic()
        self.gateway.face(DEVICE, "Three")
        check("a door that is known does not wait for a new one", self.sees("Three"))
        check("... less than two seconds", time.monotonic() - began < 2)

    def pictures(self):
        self.gateway.face(DEVICE, "Otto", picture=picture(2))
        check("the picture is that of the person", lambda: self.sees("Otto")() and self.shows(picture(2))())
        self.gateway.face(DEVICE, "Ohne")
        check("a person without a picture is seen", self.sees("Ohne"))
        none = http("GET", f"http://127.0.0.1:{self.gateway.devices}/images/none")[1]
        check("... and has nobody's face", self.shows(none))

    def automations(self):
        device = self.home.device(DEVICE)
        triggers = self.home.ask("device_automation/trigger/list", device_id=device["id"])
        offered = {(one["type"], one["subtype"]) for one in triggers if one["domain"] == "mqtt"}
        expected = {("recognition", "blocklisted"), ("access", "denied"), ("alarm", "forced_door"), ("alarm", "cleared")}
        check("the device has triggers", expected <= offered)
        text = cookbook().replace(PLACEHOLDER, device["id"])
        self.home.automations(text.replace("event.front_door_last_person", self.entity("_person")))
        self.home.call("automation/reload")
        self.rings_once("Blocked")
        self.home.hush()
        self.gateway.face(DEVICE, "Welcome")
        until("the next one is seen", self.sees("Welcome"))
        check("nothing rings for somebody else", self.home.rings() == [])

    def rings_once(self, name, when=""):
        self.home.hush()
        self.gateway.face(DEVICE, name, "blocklisted")
        expected = [
            ("A blocklisted person", f"{name} at {DEVICE}"),
            ("A blocklisted person, by the state", name),
        ]
        check(f"both automations of the cookbook ring once for a person{when}", lambda: self.home.rings() == expected)

    def alarms(self):
        self.gateway.alarm(DEVICE, code=10002)
        check("an alarm is seen", lambda: self.attributes("_alarm").get("event_type") == "forced_door")
        self.gateway.alarm(DEVICE, status=3)
        check("... and that it is over", lambda: self.attributes("_alarm").get("event_type") == "cleared")

    def restarts(self):
        self.rings_once("Last")
        self.home.hush()
        self.gateway.stop()
        check("the door is unavailable without the gateway", lambda: self.home.state(self.entity("_person"))["state"] == "unavailable")
        self.gateway.start()
        check("... and comes back with its last person", self.sees("Last"))
        time.sleep(QUIET)
        check("nothing rings when the gateway restarts", self.home.rings() == [])
        before = self.home.picture(self.entity("_picture"))
        self.home.stop()
        began = time.monotonic()
        with subprocess.Popen(
            ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.broker.port), "-t", "homeassistant/device/faceway/+/config", "-R", "-C", "1", "-W", "60"],
            stdout=subprocess.DEVNULL,
        ) as listener:
            self.home.start()
            check("devices are announced again when Home Assistant has started", listener.wait() == 0)
        check("Home Assistant comes back with its last person", self.sees("Last"))
        time.sleep(QUIET)
        check("nothing rings when Home Assistant restarts", self.home.rings() == [])
        check("the picture is there again", before is not None and self.home.picture(self.entity("_picture")) == before)
        self.rings_once("After", " after both restarts")
        began = time.monotonic()
        self.gateway.stop()
        self.gateway.start()
        self.gateway.face(DEVICE, "Known")
        pushed = time.monotonic()
        check("a door that the broker knows does not wait after a restart", self.sees("Known"))
        check("... less than two seconds", time.monotonic() - pushed < 2)

    def deleted(self):
        # One without an automation: 2026.11 cannot delete a device with a trigger that an automation used when it started.
        self.home.delete(self.home.device(OTHER))
        until("the device is deleted", lambda: self.home.device(OTHER) is None)
        check("a deleted device is gone from the broker", lambda: len(self.broker.configurations()) == 1)
        self.gateway.face(OTHER, "Again")
        check("it comes back with its next person", self.sees("Again", OTHER))

    def withdrawn(self):
        self.gateway.home_assistant = False
        self.gateway.write_routes()
        self.gateway.reload()
        check("home_assistant = false: nothing is left in Home Assistant", lambda: self.home.device(DEVICE) is None)
        check("... nor at the broker", lambda: not self.left())
        self.gateway.home_assistant = True
        self.gateway.write_routes()
        self.gateway.reload()
        self.gateway.face(DEVICE, "Back")
        check("home_assistant = true: the next person is seen", self.sees("Back"))
        self.gateway.write_routes(outbound=False)
        self.gateway.reload()
        check("the outbound taken out: nothing is left in Home Assistant", lambda: self.home.device(DEVICE) is None)
        check("... nor at the broker", lambda: not self.left())

    def left(self):
        return [topic for topic in self.broker.retained("homeassistant/#") if "/faceway" in topic]

    def log(self):
        lines = self.home.log().splitlines()
        # Home Assistant clears a deleted device once for each of its parts.
        bad = [one for one in lines if "components.mqtt" in one and "No device components to cleanup" not in one]
        check("Home Assistant has nothing to complain of", not bad)
        for line in bad[:5]:
            print("        " + line[:300])

    def end(self):
        for part in (self.home, self.gateway, self.broker):
            part.stop()


def main():
    program, root, directory = (str(Path(one).resolve()) for one in sys.argv[1:])
    parts = Check(program, root, directory)
    try:
        parts.run()
    except Exception as error:  # What it is, and what comes after it was not looked at.
        check(f"the check goes to its end: {error!r}", False)
    finally:
        parts.end()
    print("\nall fine" if not failures else f"\n{failures} FAILED")
    sys.exit(failures != 0)


if __name__ == "__main__":
    main()
