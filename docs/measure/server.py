"""A server to measure, and how it is asked."""
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path


class Server:
    """All services, or some, in one process; `stop` returns when it has ended."""

    def __init__(self, program, work, *services):
        began = time.monotonic()
        said = work / "said"
        with said.open("w") as out:
            self.process = subprocess.Popen(
                [program, "run", "--migrate", "--listen", "127.0.0.1:0", "--data-dir", str(work / "data")]
                + [word for service in services for word in ("--service", service)],
                stderr=out)
        self.url = until(lambda: re.search(r"^  API   (\S+)", said.read_text(), re.MULTILINE)).group(1)
        until(lambda: get(self.url + "/health/ready")[0] == 200)
        self.ready = time.monotonic() - began

    def memory(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024

    def processor_seconds(self):
        times = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        if self.process.wait() != 0:
            sys.exit("the server did not end well")


def until(found):
    for _ in range(6000):
        answer = found()
        if answer:
            return answer
        time.sleep(0.01)
    sys.exit("the server does not become ready")


def stolen_seconds():
    """How long other guests of the same host have kept this machine's cores."""
    return int(Path("/proc/stat").read_text().split("\n")[0].split()[8]) / os.sysconf("SC_CLK_TCK")


DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url):
    """Status and body as a browser gets them; status 0 if there is no answer."""
    request = urllib.request.Request(url, headers={"accept": "text/html"})
    try:
        with DIRECTLY.open(request) as answer:
            return answer.status, answer.read()
    except (urllib.error.HTTPError, OSError) as error:
        return getattr(error, "code", 0), b""
