# Runs a command on a pseudo-terminal of 80x24, and tells as JSON what became of the terminal.
#   terminal.py q|term|wait TEXT COMMAND...
# Waits until TEXT was printed, then presses q, or sends SIGTERM, or does nothing, and waits for the end.
import fcntl, json, os, select, signal, struct, subprocess, sys, termios, time

how, wanted, command = sys.argv[1], sys.argv[2].encode(), sys.argv[3:]
main, side = os.openpty()
fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
before = termios.tcgetattr(side)


def own_terminal():
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


child = subprocess.Popen(command, stdin=side, stdout=side, stderr=side, preexec_fn=own_terminal)
printed, done, deadline = b"", how == "wait", time.monotonic() + 60
try:
    while child.poll() is None and time.monotonic() < deadline:
        if select.select([main], [], [], 0.05)[0]:
            printed += os.read(main, 65536)
        if not done and wanted in printed:
            done = True
            os.write(main, b"q") if how == "q" else child.send_signal(signal.SIGTERM)
    ended = child.poll()
finally:
    child.kill()
    child.wait()
while select.select([main], [], [], 0.05)[0]:
    printed += os.read(main, 65536)

TAKE, GIVE = b"\x1b[?1049h", b"\x1b[?1049l"
HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"
print(json.dumps({
    "code": ended,
    "seen": done,
    "taken": TAKE in printed,
    "restored": termios.tcgetattr(side) == before
    and printed.rfind(GIVE) > printed.rfind(TAKE)
    and printed.rfind(SHOW) >= printed.rfind(HIDE),
    "printed": printed.decode(errors="replace"),
    "after": printed[printed.rfind(GIVE) :].decode(errors="replace"),
}))
