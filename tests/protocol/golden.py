#!/usr/bin/env python3
"""Writes the golden bytes of every message, from docs/PROTOCOL.md and an independent MessagePack library.

Lines of the output:
    good NAME PAYLOAD HEX     decodes, and encodes to the same bytes
    any NAME PAYLOAD HEX HEX  another encoding of the first: decodes, and encodes to the second
    bad CODE PAYLOAD HEX      is refused with ERROR CODE
PAYLOAD is the payload's size, or -1 for none; HEX has runs as {HEX*COUNT}. The first `good` line of a message is its sample.

    golden.py           prints them
    golden.py --check FILE   exits with 1 when FILE differs
"""
import re
import struct
import sys

import msgpack

U8, U16, U32, U64 = 2**8 - 1, 2**16 - 1, 2**32 - 1, 2**64 - 1
MIB = 1024 * 1024


def num(name, sample, low=0, high=U64):
    return (name, "num", sample, low, high)


def i64(name, sample):
    return (name, "i64", sample, -2**63, 2**63 - 1)


def text(name, sample, most):
    return (name, "str", sample, 0, most)


def held(name, sample):
    return (name, "held", sample, 0, 1024)


def nums(name, sample):
    return (name, "nums", sample, 0, 1024)


S, N = 0x100000002, 0x200000003
REF = [num("session", S), num("number", N), num("attempt", 4, 0, U32)]
OUTCOME = [num("call", 2, 1, 6), num("outcome", 7, 1, 12), num("http_status", 503, 0, U16),
           i64("retry_after_ms", -1), num("elapsed_ms", 70000, 0, U32), text("reason", "HTTP 503", 200)]

MESSAGES = [
    ("HELLO", 1, 0, [num("role", 2, 1, 4), num("instance", 0x0102030405060708), num("place", 300),
                     text("name", "exec-1", 64), text("program_version", "2.0.0", 32), num("pid", 4242, 0, U32),
                     text("host", "host-1", 64), num("slots", 10, 0, 1000), num("seq", 1), num("credit", 0),
                     held("held", [[S, N, 3, 2], [S, N + 1, 1, 1]])]),
    ("WELCOME", 2, 0, [num("seq", 1), num("session", S), num("heartbeat_ms", 1000, 0, U32),
                       num("lost_ms", 5000, 0, U32), text("endpoint", "ipc:///run/sluice/worker-1", 255),
                       text("agent_id", "a1", 64), num("credit", 9), nums("drop", [N, 7])]),
    ("HEARTBEAT", 3, 0, [num("session", S), num("seq", 128), nums("held", [N])]),
    ("BYE", 4, 0, [num("session", S)]),
    ("CONFIG", 5, 0, [num("session", S), num("generation", 2), num("debug", 1, 0, 1), num("verify", 0, 0, 1),
                      num("pool_size", 50, 0, 1000), num("upload_to_ac", 1, 0, 1),
                      num("rate_per_min", 250, 0, U32)]),
    ("DRAIN", 6, 0, [num("session", 0), num("mode", 1, 0, 1)]),
    ("WANT", 10, 0, [num("session", S), num("seq", 5), num("stage", 1, 1, 2)]),
    ("GRANT", 11, 0, [num("session", S), num("seq", 5), num("credit", 0x100000009), num("stage", 2, 1, 2),
                      num("ttl_ms", 4000, 0, U32), num("budget", 20, 1, U16)]),
    ("RENEW", 12, 0, [num("session", S), num("seq", 6), num("credit", 9), num("used", 3, 0, U16)]),
    ("REVOKE", 13, 0, [num("session", S), num("credit", 9), num("reason", 2, 1, 4)]),
    ("RELEASE", 14, 0, [num("session", S), num("credit", 9), num("used", 4, 0, U16)]),
    ("REPORT", 15, 0, [num("session", S), num("credit", 9)] + OUTCOME),
    ("ACCEPTED", 20, 0, [num("instance", 77), num("seq", 8), num("verdict", 1, 1, 3), num("number", N)]),
    ("CLAIM", 21, 0, REF),
    ("CLAIMED", 22, 0, REF),
    ("DENIED", 23, 0, REF + [num("reason", 3, 1, 5)]),
    ("RETURN", 24, 0, REF + [num("started", 1, 0, 1)]),
    ("STORED", 25, 0, REF),
    ("UPLOADED", 26, 0, REF + [num("credit", 9)] + OUTCOME),
    ("GONE", 27, 0, REF),
    ("STATUS", 30, 0, [num("seq", 2)]),
    ("STATUS_REPLY", 31, 16 * MIB, [num("seq", 2)]),
    ("ERROR", 32, 0, [num("code", 8, 0, U16), num("type", 21, 0, U8), text("text", "no such session", 200)]),
    ("FIND", 33, 0, [num("seq", 2), num("by", 1, 0, 1), text("task", "8589934595", 1024)]),
    ("LIST", 34, 0, [num("seq", 2), num("after", N), num("max", 100, 1, 500)]),
    ("FOUND", 35, 16 * MIB, [num("seq", 2)]),
    ("ORDER", 36, 0, [num("seq", 2), num("action", 2, 1, 2), num("by", 0, 0, 2), text("task", "t-1", 1024),
                      num("after", 7)]),
    ("ORDERED", 37, 0, [num("seq", 2), num("verdict", 3, 1, 4), num("count", 3, 0, U32), num("number", N)]),
    ("FETCHED", 40, 64 * MIB, [num("instance", 77), num("seq", 8), num("credit", 9),
                               text("task_id", "t-1", 1024), num("flags", 1, 0, U16), text("method", "GET", 32),
                               text("host", "tool.example", 255), i64("expiry_ms", 1700000300000),
                               i64("fetched_ms", 1700000000000), text("config", "", 1024),
                               text("error", "", 500)]),
    ("TASK", 41, 96 * MIB, REF + [num("stage", 1, 1, 2), num("flags", 1, 0, U16), i64("remaining_ms", -5),
                                  num("generation", 2), num("tries", 6, 0, U32), text("task_id", "t-1", 1024),
                                  num("call", 2, 1, 6)]),
    ("RESULT", 42, 96 * MIB, REF + [num("stream", 11), num("flags", 32, 0, U16), num("http_status", 200, 0, U16),
                                    num("tool_ms", 1234, 0, U32), num("body_bytes", 512000),
                                    i64("connect_ms", -1), i64("first_byte_ms", 1200), num("ended_ms", 5, 0, U32),
                                    text("reason", "cut short", 160)]),
    ("CHUNK", 43, 262144, REF + [num("stream", 11), num("offset", 262144), num("last", 1, 0, 1)]),
    ("EVENT", 44, 0, [num("seq", 3), i64("at_ms", 1700000000001), num("kind", 200, 0, U8), num("number", N),
                      text("text", "task=t-1", 500)]),
    ("BODY", 50, 0, REF + [num("stream", 11), num("length", 0, 0, 2**48), num("kind", 1, 1, 2)]),
    ("CREDIT", 51, 0, [num("session", S), num("stream", 11), num("upto", 2097152)]),
    ("ABORT", 52, 0, [num("session", S), num("stream", 11), num("reason", 3, 1, 4)]),
]

lines = []
RUN = re.compile(rb"(.{1,5}?)\1{15,}", re.DOTALL)


def to_hex(packed):
    out, at = "", 0
    for run in RUN.finditer(packed):
        unit = run.group(1)
        out += packed[at:run.start()].hex() + "{%s*%d}" % (unit.hex(), len(run.group(0)) // len(unit))
        at = run.end()
    return out + packed[at:].hex()


def good(name, payload, values):
    lines.append(f"good {name} {payload} {to_hex(msgpack.packb(values))}")


def bad(code, payload, packed):
    lines.append(f"bad {code} {payload} {to_hex(packed)}")


def at_bounds(kind, low, high):
    if kind in ("num", "i64"):
        return [low, high]
    if kind == "str":
        return ["", "x" * high]
    if kind == "nums":
        return [[], [1] * high, [U64]]
    return [[], [[1, 1, 1, 1]] * high, [[U64, U64, U32, 3]]]


def beyond(kind, low, high):
    if kind == "num":
        return [low - 1, "1", None, 1.0, [1]] + ([high + 1] if high < U64 else [])
    if kind == "i64":
        return [high + 1, "1", None, 1.5]
    if kind == "str":
        return ["x" * (high + 1), b"bytes", 1, None]
    if kind == "nums":
        return [[1] * (high + 1), [-1], ["1"], 1, {1: 1}]
    return [[[1, 1, 1, 1]] * (high + 1), [[1, 1, 1, 0]], [[1, 1, 1, 4]], [[1, 1, U32 + 1, 1]], [[1, 1, 1]],
            [[1, 1, 1, 1, 1]], [1], 1]


def long_form(value):
    return b"\xcf" + struct.pack(">Q", value)


def message(name, code, payload_max, fields):
    payload = 2 if payload_max else -1
    values = [1, code] + [field[2] for field in fields]
    packed = msgpack.packb(values)
    good(name, payload, values)
    for i, (_, kind, _, low, high) in enumerate(fields, 2):
        for value in at_bounds(kind, low, high):
            good(name, payload, values[:i] + [value] + values[i + 1:])
        for value in beyond(kind, low, high):
            bad(6, payload, msgpack.packb(values[:i] + [value] + values[i + 1:]))
    lines.append(f"any {name} {payload} {to_hex(packed[:1] + long_form(1) + long_form(code) + packed[3:])}"
                 f" {to_hex(packed)}")
    bad(5, payload, msgpack.packb(values[:-1]))
    bad(5, payload, msgpack.packb(values + [0]))
    bad(2, payload, packed + b"\xc0")
    bad(3, payload, msgpack.packb([2] + values[1:]))
    bad(7, -1 if payload_max else 0, packed)
    if payload_max:
        good(name, payload_max, values)
        bad(1, payload_max + 1, packed)


def general():
    bad(2, -1, b"")
    bad(2, -1, b"\xc1")
    bad(2, -1, msgpack.packb(1))
    bad(2, -1, msgpack.packb({1: 4}))
    bad(2, -1, msgpack.packb([1]))
    bad(2, -1, b"\xdd\xff\xff\xff\xff\x01\x04")
    bad(2, -1, b"\xdf\xff\xff\xff\xff\x01\x04")
    bad(2, -1, b"\x93\x01\x04\xdd\xff\xff\xff\xff")
    bad(2, -1, b"\x93\x01\x04\xdb\xff\xff\xff\xff")
    bad(2, -1, b"\x93\x01\x04\xc6\xff\xff\xff\xff")
    bad(2, -1, b"\x93\x01\x04" + b"\x91" * 4 + b"\x01")
    bad(2, -1, b"\x91" * 60000 + b"\x01")
    bad(6, -1, b"\x93\x01\x04" + b"\x91" * 3 + b"\x01")
    bad(3, -1, msgpack.packb([0, 4, 1]))
    bad(3, -1, msgpack.packb(["1", 4, 1]))
    bad(4, -1, msgpack.packb([1, 0, 1]))
    bad(4, -1, msgpack.packb([1, 99, 1]))
    bad(4, -1, msgpack.packb([1, 260, 1]))
    bad(4, -1, msgpack.packb([1, "4", 1]))
    bad(2, -1, b"\x93\x01\x04\xdb" + struct.pack(">I", 65529) + b"x" * 65528)
    bad(6, -1, b"\x93\x01\x04\xdb" + struct.pack(">I", 65528) + b"x" * 65528)
    bad(1, -1, b"\x93\x01\x04\xdb" + struct.pack(">I", 65529) + b"x" * 65529)


def main():
    for row in MESSAGES:
        message(*row)
    general()
    output = "".join(line + "\n" for line in lines)
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        with open(sys.argv[2], encoding="ascii") as file:
            if file.read() != output:
                sys.exit("the golden bytes differ: run tests/protocol/golden.py > tests/protocol/golden.txt "
                         "if the protocol has changed")
    else:
        sys.stdout.write(output)


main()
