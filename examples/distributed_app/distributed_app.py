"""An element of `distributed_app`: a WSGI application that registers itself and says who it is.

uwsgi.ini gives it ELEMENT and PORT. CONSUL_HTTP_ADDR names the agent (127.0.0.1:8500). Where several hosts share one
agent, CONSUL_SERVICE_ID tells their elements apart and CONSUL_SERVICE_ADDRESS says where this one is.
"""

import os
import socket

import uwsgi

from registration import Registration

ELEMENT = os.environ["ELEMENT"]
PORT = int(os.environ["PORT"])


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"Hello from {ELEMENT} on port {PORT} of {socket.gethostname()}\n".encode()]


if uwsgi.worker_id() == 1:
    registration = Registration(
        agent=os.environ.get("CONSUL_HTTP_ADDR", "127.0.0.1:8500"),
        service="distributed_app",
        identity=os.environ.get("CONSUL_SERVICE_ID", ELEMENT),
        address=os.environ.get("CONSUL_SERVICE_ADDRESS", ""),
        port=PORT,
    )
    registration.start()
    uwsgi.atexit = registration.end
