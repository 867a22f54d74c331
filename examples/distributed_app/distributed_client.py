#!/usr/bin/env python3
"""Finds the elements of an application in the catalog and in DNS, and calls each.

The name is resolved by the system's resolver, which must ask rutter for `consul.`; with --dns the question goes to
that server instead.
"""

import argparse
import json
import os
import secrets
import socket
import struct
import sys
import urllib.request

PATIENCE_SECONDS = 5
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url):
    with OPENER.open(url, timeout=PATIENCE_SECONDS) as answer:
        return answer.read().decode()


def by_the_system(name):
    found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    return [address for (*_, (address, _)) in found]


def by_a_server(name, server):
    """The A records that one DNS server gives for a name (RFC 1035, section 4)."""
    host, _, port = server.rpartition(":")
    ident = secrets.token_bytes(2)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    opt = b"\0" + struct.pack("!HHIH", 41, 4096, 0, 0)
    question = ident + struct.pack("!5H", 0x0100, 1, 0, 0, 1) + labels + b"\0" + struct.pack("!HH", 1, 1) + opt
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(PATIENCE_SECONDS)
        udp.connect((host, int(port)))
        udp.send(question)
        answer = udp.recv(65535)
    if answer[:2] != ident or answer[3] & 15:
        raise OSError(f"{server} does not resolve {name} (response code {answer[3] & 15})")
    at = after_name(answer, 12) + 4
    addresses = []
    for _ in range(struct.unpack_from("!H", answer, 6)[0]):
        at = after_name(answer, at)
        kind, _, _, length = struct.unpack_from("!HHIH", answer, at)
        at += 10
        if kind == 1:
            addresses.append(socket.inet_ntoa(answer[at : at + length]))
        at += length
    return addresses


def after_name(message, at):
    while message[at]:
        if message[at] >= 0xC0:  # a pointer ends a name
            return at + 2
        at += 1 + message[at]
    return at + 1


def joined(words):
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("service", nargs="?", default="distributed_app")
    agent = os.environ.get("CONSUL_HTTP_ADDR", "127.0.0.1:8500")
    parser.add_argument("--agent", default=agent, metavar="HOST:PORT", help="default: %(default)s")
    parser.add_argument("--dns", metavar="HOST:PORT", help="ask this server, not the system's")
    words = parser.parse_args()

    service = words.service
    rows = json.loads(get(f"http://{words.agent}/v1/catalog/service/{service}"))
    if not rows:
        sys.exit(f"no element of {service} is registered")
    for row in rows:
        name = f"{service}.service.consul"
        found = by_a_server(name, words.dns) if words.dns else by_the_system(name)
        address, port = row["ServiceAddress"] or row["Address"], row["ServicePort"]
        print(
            f"Application {service} with element {row['ServiceID']} on port {port} found on node {row['Node']} "
            f"({address}). We can also resolve DNS - {service} resolves to {joined(list(dict.fromkeys(found)))}."
        )
        print(get(f"http://{address}:{port}/"), end="")


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.exit(f"distributed_client: {error}")
