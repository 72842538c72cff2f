"""Log in by SCRAM with a channel binding, and print the server's last answer.

Everything but TLS is here, from RFC 5802, RFC 5929 and RFC 5034; openssl tells with
which hash function the certificate was signed. Standard input is JSON: address, port,
version ("1.2", "1.3"), mechanism, user, password, binding, damaged.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import socket
import ssl
import subprocess
import sys


def end_point(certificate):
    """The hash of the certificate: RFC 5929, section 4.1."""
    text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-text"],
                          input=certificate, stdout=subprocess.PIPE, check=True).stdout.decode()
    name = re.search(r"Signature Algorithm: (\S+)", text).group(1).lower()
    for hash_name in ("sha512", "sha384", "sha256"):
        if hash_name in name:
            return hashlib.new(hash_name, certificate).digest()
    if "sha1" in name or "md5" in name:
        return hashlib.sha256(certificate).digest()
    sys.exit("no binding for " + name)


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


class Connection:
    def __init__(self, asked):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[asked["version"]]
        context.minimum_version = context.maximum_version = version
        self.tls = context.wrap_socket(socket.create_connection((asked["address"], asked["port"]), 20))
        self.lines = self.tls.makefile("rb")
        self.line()

    def line(self):
        return self.lines.readline().rstrip(b"\r\n")

    def say(self, octets):
        self.tls.sendall(octets + b"\r\n")
        return self.line()

    def binding(self, kind):
        if kind == "tls-server-end-point":
            return end_point(self.tls.getpeercert(True))
        return self.tls.get_channel_binding("tls-unique")


def authenticate(c, asked):
    data = c.binding(asked["binding"])
    if asked["damaged"]:
        data = bytes([data[0] ^ 1]) + data[1:]
    hash_name = "sha256" if "256" in asked["mechanism"] else "sha1"
    header = "p=%s,," % asked["binding"]
    first = "n=%s,r=%s" % (asked["user"], base64.b64encode(os.urandom(18)).decode())

    answer = c.say(b"AUTH " + asked["mechanism"].encode() + b" " + base64.b64encode((header + first).encode()))
    if not answer.startswith(b"+ "):
        return answer
    challenge = base64.b64decode(answer[2:]).decode()
    fields = dict(f.split("=", 1) for f in challenge.split(","))

    salted = hashlib.pbkdf2_hmac(hash_name, asked["password"].encode(), base64.b64decode(fields["s"]), int(fields["i"]))
    client_key = hmac.digest(salted, b"Client Key", hash_name)
    without_proof = "c=%s,r=%s" % (base64.b64encode(header.encode() + data).decode(), fields["r"])
    message = ",".join((first, challenge, without_proof)).encode()
    signature = hmac.digest(hashlib.new(hash_name, client_key).digest(), message, hash_name)
    final = without_proof + ",p=" + base64.b64encode(xor(client_key, signature)).decode()

    answer = c.say(base64.b64encode(final.encode()))
    if not answer.startswith(b"+ "):
        return answer
    server_key = hmac.digest(salted, b"Server Key", hash_name)
    want = b"v=" + base64.b64encode(hmac.digest(server_key, message, hash_name))
    if base64.b64decode(answer[2:]) != want:
        sys.exit("the server has not proved that it knows the password")
    return c.say(b"")


def main():
    asked = json.load(sys.stdin)
    c = Connection(asked)
    sys.stdout.write(authenticate(c, asked).decode() + "\n")
    c.say(b"QUIT")


main()
