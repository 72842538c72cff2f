"""One POP3 session by Python's poplib.

Standard input is a JSON object that says where, how and what; see pySession in
session_test.go. Standard output is a JSON list with the outcome of each step.
"""

import base64
import json
import poplib
import ssl
import sys

# Its default, 2048 octets, is what RFC 5321 lets mail have, not what mail has.
poplib._MAXLINE = 4 << 20

TIMEOUT = 60  # seconds, for each answer


def connect(o):
    context = ssl.create_default_context(cafile=o["ca"])
    if o["security"] == "TLS":
        return poplib.POP3_SSL(o["host"], o["port"], timeout=TIMEOUT, context=context)
    connection = poplib.POP3(o["host"], o["port"], timeout=TIMEOUT)
    if o["security"] == "STLS":
        connection.stls(context)
    return connection


def multiline(answer):
    """The lines of an answer as they came, and how many octets poplib counted."""
    _, lines, octets = answer
    data = b"".join(line + b"\r\n" for line in lines)
    return {"data": base64.b64encode(data).decode(), "octets": octets}


def step(connection, verb, arguments):
    if verb == "stat":
        messages, octets = connection.stat()
        return {"messages": messages, "octets": octets}
    if verb in ("retr", "top", "list", "uidl"):
        return multiline(getattr(connection, verb)(*arguments))
    if verb in ("dele", "rset", "quit"):
        getattr(connection, verb)(*arguments)
        return {}
    if verb == "disconnect":
        connection.close()
        return {}
    raise ValueError("no such step: " + verb)


def main():
    o = json.load(sys.stdin)
    connection = connect(o)
    connection.user(o["user"])
    connection.pass_(o["password"])
    json.dump([step(connection, verb, arguments) for verb, *arguments in o["steps"]], sys.stdout)


main()
