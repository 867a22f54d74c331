"""Keeps one instance registered with an agent: a TTL check that is passed for as long as this process lives."""

import json
import threading
import urllib.error
import urllib.request

TTL_SECONDS = 10
PATIENCE_SECONDS = 5

# An agent is near: no proxy of the environment stands before it.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Registration:
    def __init__(self, agent, service, identity, address, port):
        self.base = agent if "://" in agent else "http://" + agent
        self.service, self.identity, self.address, self.port = service, identity, address, port
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.keep, daemon=True)

    def start(self):
        self.thread.start()

    def end(self):
        """Stops passing the check, and takes the registration back."""
        self.ended.set()
        self.thread.join(PATIENCE_SECONDS)
        try:
            self.put("service/deregister/" + self.identity)
        except OSError as error:
            log(f"service {self.service} not deregistered: {error}")

    def keep(self):
        """Registers, then passes the check three times in its TTL; begins anew when the agent does not know it."""
        registered = False
        while not self.ended.is_set():
            try:
                if not registered:
                    self.register()
                    log(f"service {self.service} registered successfully")
                    registered = True
                self.put("check/pass/service:" + self.identity)
                self.ended.wait(TTL_SECONDS / 3)
            except urllib.error.HTTPError as error:
                log(f"service {self.service} refused: {error.code} {error.read().decode().strip()}")
                registered = False
                self.ended.wait(1)
            except OSError as error:
                # An agent that is away has its registrations in its store when it comes back.
                log(f"no answer from the agent: {error}")
                self.ended.wait(1)

    def register(self):
        self.put(
            "service/register",
            {
                "Name": self.service,
                "ID": self.identity,
                "Address": self.address,
                "Port": self.port,
                "Check": {"TTL": f"{TTL_SECONDS}s", "DeregisterCriticalServiceAfter": "1m"},
            },
        )

    def put(self, path, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}/v1/agent/{path}", data, method="PUT")
        with OPENER.open(request, timeout=PATIENCE_SECONDS) as answer:
            answer.read()


def log(line):
    print("[consul] " + line, flush=True)
