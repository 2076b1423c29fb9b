"""A name server on 127.0.0.1:53 for tests in a network namespace of their own.

Names and how they are answered: `broken.*` fails (SERVFAIL) when A and AAAA are asked for at once, as some boxes on the
way do, and has an address when A alone is asked for; `good.*` has one always; `dead.*` fails always; all else does not
exist. The address is 127.0.0.1."""
import socket
import struct
import threading
import time

A, AAAA = 1, 28
OK, SERVFAIL, NXDOMAIN = 0, 2, 3
ALONE_S = 0.05  # a question for A that no other has joined after this time is alone


class NameServer:
    def __init__(self):
        self.asked = []  # (name, type), in order
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 53))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            query, sender = self.socket.recvfrom(512)
            name, kind = self._question(query)
            self.asked.append((name, kind, sender))
            threading.Thread(target=self._reply, args=(query, sender, name, kind), daemon=True).start()

    @staticmethod
    def _question(query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += query[at] + 1
        return ".".join(labels), struct.unpack(">H", query[at + 1:at + 3])[0]

    def _reply(self, query, sender, name, kind):
        code = {"good": OK, "broken": OK, "dead": SERVFAIL}.get(name.partition(".")[0], NXDOMAIN)
        if name.startswith("broken."):
            time.sleep(ALONE_S)
            if len([1 for asked in self.asked if asked[2] == sender]) > 1:
                code = SERVFAIL
        found = code == OK and kind == A
        end = query.index(b"\0", 12) + 5
        answer = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, int(found), 0, 0) + query[12:end]
        if found:
            answer += struct.pack(">HHHIH", 0xc00c, A, 1, 60, 4) + bytes([127, 0, 0, 1])
        self.socket.sendto(answer, sender)

    def kinds(self, name):
        return [kind for asked, kind, _ in self.asked if asked == name]
