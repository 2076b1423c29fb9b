"""The tasks of a soak: script lines for the mock AC, of every kind the agent has to deal with, drawn by a seed."""
import base64
import gzip
import json
import random
import time
import zlib

SAFE = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]
UNSAFE = ["POST", "PATCH"]
STATUSES = [201, 202, 204, 304, 400, 401, 403, 404, 409, 418, 429, 500, 502, 503]
INLINE_MAX = 512000
MOST_SLOTS = 12  # of an executor, by the global configurations here; 10 at its start
MB = 1000 * 1000
LETTERS = "abcdefghijklmnopqrstuvwxyz &=%\"\\/é"


def wall_ms():
    return int(time.time() * 1000)


class Load:
    """Makes script lines; every task has an id, a path and a header of its own."""

    def __init__(self, seed):
        self.random = random.Random(f"load-{seed}")
        self.count = 0
        self.kinds = {}
        self.kind_list = [(name, weight) for name, weight in (
            ("small", 560), ("status", 80), ("coded", 60), ("redirect", 50), ("boundary", 30), ("large", 4),
            ("slow", 12), ("expiring", 25), ("chunked", 30), ("unreachable", 15), ("not_a_request", 15),
            ("tool_fault", 20), ("config", 4))]

    def lines(self, count):
        names, weights = zip(*self.kind_list)
        return "\n".join(self.line(name) for name in self.random.choices(names, weights, k=count))

    def line(self, kind):
        self.count += 1
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        made = getattr(self, kind)()
        return "\n".join(json.dumps(line) for line in (made if isinstance(made, list) else [made]))

    def task(self, methods=None, **members):
        task_id = f"soak-{self.count:07d}"
        method = self.random.choice(methods or SAFE + UNSAFE * 2)
        task = {"taskId": task_id, "url": f"{{tool}}/s/{self.count}?q=a%20b", "method": method,
                "requestHeaders": {"X-Soak": task_id}, "n": 9007199254740993, "z": [2.5, None, {"a": "é"}]}
        if method not in ("GET", "HEAD", "OPTIONS") and self.random.random() < 0.8:
            task["input"] = self.text(self.random.randint(0, 2000))
        task.update(members)
        return task

    def tool(self, **members):
        return {"headers": [["X-Soak", f"soak-{self.count:07d}"], ["Content-Type", "application/x-soak"]], **members}

    def text(self, length):
        return "".join(self.random.choices(LETTERS, k=length))

    def small(self):
        return {"task": self.task(),
                "tool": self.tool(bodyBytes=self.random.randint(0, 4000), delayMs=self.random.randint(0, 60))}

    def status(self):
        status = self.random.choice(STATUSES)
        size = 0 if status in (204, 304) else self.random.randint(0, 300)
        return {"task": self.task(), "tool": self.tool(status=status, bodyBytes=size)}

    def coded(self):
        """Compressed by the tool; now and then to a body that is large only once it is decoded."""
        size = self.random.choice([0, 10, 4000, 200000, INLINE_MAX, INLINE_MAX + 1, 2 * MB])
        plain = (self.text(97).encode() * (size // 97 + 1))[:size]
        how = self.random.choice(["gzip", "deflate"])
        packed = gzip.compress(plain, 1) if how == "gzip" else zlib.compress(plain, 1)
        tool = self.tool(bodyBase64=base64.b64encode(packed).decode())
        tool["headers"].append(["Content-Encoding", how])
        return {"task": self.task(["GET", "PUT", "POST"]), "tool": tool}

    def redirect(self):
        status = self.random.choice([301, 302, 303, 307, 308])
        end = f"/end/{self.count}"
        text = self.text(50)
        tool = self.tool(status=status)
        tool["headers"].append(["Location", "{tool}" + end if self.random.random() < 0.5 else end])
        task = self.task(["GET", "DELETE", "POST"])
        return [{"task": task, "tool": tool,
                 "expect": {"statusCode": 200, "outputText": text, "unlessFault": True}},
                {"tool": {"path": end, "taskId": task["taskId"], "body": text, "repeats": True}}]

    def boundary(self):
        return {"task": self.task(), "tool": self.tool(bodyBytes=INLINE_MAX + self.random.randint(-1, 2))}

    def together(self):
        """Not drawn: some of these are with the broker at once, as large as its journal takes them."""
        return {"task": self.task(["GET"]), "tool": self.tool(bodyBytes=INLINE_MAX, delayMs=1000)}

    def large(self):
        size = self.random.choice([MB, 3 * MB, self.random.randint(MB, 20 * MB), 20 * MB])
        return {"task": self.task(["GET", "POST", "PUT"]), "tool": self.tool(bodyBytes=size)}

    def slow(self):
        return {"task": self.task(), "tool": self.tool(bodyBytes=100, delayMs=self.random.randint(1000, 6000))}

    def expiring(self):
        return {"task": self.task(expiryTsMs=wall_ms() + self.random.randint(500, 4000)),
                "tool": self.tool(bodyBytes=100, delayMs=self.random.choice([0, 100, 3000, 6000]))}

    def chunked(self):
        # not HEAD: libmicrohttpd ends the chunked body that it does not send, and the connection's next answer is noise
        return {"task": self.task([method for method in SAFE + UNSAFE if method != "HEAD"]),
                "tool": self.tool(bodyBytes=self.random.randint(1, 70000), chunked=True)}

    def unreachable(self):
        return {"task": self.task(url="http://127.0.0.1:1/nobody")}

    def not_a_request(self):
        wrong = self.random.choice([{"url": "ftp://tool/x"}, {"url": "http://"}, {"input": 17}])
        return {"task": self.task(["POST", "PUT"], **{"url": "http://127.0.0.1:1/", **wrong})}

    def tool_fault(self):
        fault = self.random.choice(["reset", "reset_after", "half", "stall:1500", "garbage", "503", "429retry:1"])
        return {"task": self.task(), "tool": self.tool(bodyBytes=self.random.randint(1, 5000), fault=fault)}

    def config(self):
        given = self.random.choice([{"uploadToAC": False}, {"uploadToAC": True}, {"poolSize": 6},
                                    {"threadPoolSize": MOST_SLOTS}, {"debugMode": False}])
        return {"task": self.task(globalConfig=given), "tool": self.tool(bodyBytes=10)}
