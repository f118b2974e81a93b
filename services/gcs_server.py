"""The XML API of Google Cloud Storage, as far as object stores use it: objects, preconditions, ranges, lists, uploads.

    python3 gcs_server.py PORT DATABASE BUCKET...

The one idea: everything is a row of one SQLite database, and a request is one transaction of it; so two requests never
meet, a kill loses nothing that was answered, and a restart finds it again.

`PUT /?deny=METHOD,...` makes the server refuse requests of these kinds (`list`, `uploads`, `DELETE`, ...) from then on.
"""

import hashlib
import sqlite3
import sys
import threading
import time
import uuid
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.etree import ElementTree
from xml.sax.saxutils import escape

SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT, key TEXT, generation INTEGER, etag TEXT, time REAL, class TEXT, encryption TEXT, data BLOB,
    PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (id TEXT PRIMARY KEY, bucket TEXT, key TEXT, class TEXT, encryption TEXT);
CREATE TABLE IF NOT EXISTS parts (upload TEXT, number INTEGER, etag TEXT, data BLOB, PRIMARY KEY (upload, number));
"""

MOST_LISTED = 1000

ENCRYPTION = "x-goog-encryption-kms-key-name"


class Refused(Exception):
    def __init__(self, status: int, code: str):
        super().__init__(code)
        self.status, self.code = status, code


def etag(data: bytes) -> str:
    return f'"{hashlib.md5(data).hexdigest()}"'


class Data:
    """Buckets, their objects and uploads."""

    def __init__(self, path: str, buckets: list[str]):
        self.lock = threading.Lock()
        self.buckets = set(buckets)
        self.denied: set[str] = set()
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # What was answered outlives a kill of the process; a power cut is not what this is for.
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.executescript(SCHEMA)

    def ask(self, query: str, *values) -> list[tuple]:
        return self._database.execute(query, values).fetchall()

    def generation(self, bucket: str, key: str) -> int:
        return next((row[0] for row in self.ask("SELECT generation FROM objects WHERE (bucket, key) = (?, ?)", bucket, key)), 0)

    def put(self, bucket: str, key: str, kind: tuple[str, str], data: bytes) -> tuple[int, str]:
        generation, tag = time.time_ns() // 1000, etag(data)
        while generation <= self.generation(bucket, key):
            generation += 1
        row = (bucket, key, generation, tag, time.time(), *kind, data)
        self.ask("INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *row)
        return generation, tag

    def upload(self, bucket: str, key: str, name: str) -> tuple[str, str]:
        """The storage class of an upload that is there, and the key that its object is encrypted with."""
        found = self.ask("SELECT class, encryption FROM uploads WHERE (id, bucket, key) = (?, ?, ?)", name, bucket, key)
        if not found:
            raise Refused(404, "NoSuchUpload")
        return found[0]

    def forget(self, name: str) -> None:
        self.ask("DELETE FROM uploads WHERE id = ?", name)
        self.ask("DELETE FROM parts WHERE upload = ?", name)

    def listed(self, bucket: str, prefix: str, delimiter: str, after: str) -> tuple[list[tuple], list[str], str | None]:
        """One page: objects, common prefixes, and where the next one begins."""
        query = "SELECT key, length(data), time, etag, generation FROM objects WHERE bucket = ? AND key >= ? ORDER BY key"
        objects, folders = [], []
        last = after
        for row in self.ask(query, bucket, max(prefix, after)):
            key = row[0]
            if not key.startswith(prefix):
                break
            if key <= after:
                continue
            folder = None
            if delimiter and delimiter in key[len(prefix) :]:
                folder = prefix + key[len(prefix) :].split(delimiter, 1)[0] + delimiter
                if folder <= after or folder in folders:
                    continue
            if len(objects) + len(folders) >= MOST_LISTED:
                return objects, folders, last
            if folder is None:
                objects.append(row)
                last = key
            else:
                folders.append(folder)
                # Behind everything in that folder.
                last = folder + "\U0010ffff"
        return objects, folders, None


class Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    data: Data

    def log_message(self, *_) -> None:
        pass

    # One transaction for each.

    def do_GET(self) -> None:
        self._serve(self._get)

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        self._serve(self._put)

    def do_POST(self) -> None:
        self._serve(self._post)

    def do_DELETE(self) -> None:
        self._serve(self._delete)

    def _serve(self, act) -> None:
        url = urlsplit(self.path)
        bucket, _, key = url.path.lstrip("/").partition("/")
        self.bucket, self.key = bucket, unquote(key)
        self.query = dict(parse_qsl(url.query, keep_blank_values=True))
        self.body = self.rfile.read(int(self.headers.get("content-length") or 0))
        try:
            with self.data.lock:
                if not bucket:
                    self.data.denied = set(filter(None, self.query.get("deny", "").split(",")))
                    answer = (200, b"", {})
                else:
                    self._check()
                    answer = act()
        except Refused as refused:
            answer = (refused.status, f"<Error><Code>{refused.code}</Code></Error>".encode(), {})
        self._answer(*answer)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _check(self) -> None:
        if self.bucket not in self.data.buckets:
            raise Refused(404, "NoSuchBucket")
        kinds = {self.command}
        if not self.key and self.command == "GET":
            kinds = {"uploads" if "uploads" in self.query else "location" if "location" in self.query else "list"}
        if "uploadId" in self.query and self.command == "DELETE":
            kinds = {"abort"}
        if kinds & self.data.denied:
            raise Refused(403, "AccessDenied")

    def _check_generation(self) -> None:
        wanted = self.headers.get("x-goog-if-generation-match")
        if wanted is not None and self.data.generation(self.bucket, self.key) != int(wanted):
            raise Refused(412, "PreconditionFailed")

    def _kind(self) -> tuple[str, str]:
        """The storage class of a new object, and the key that it is encrypted with."""
        return self.headers.get("x-goog-storage-class", "STANDARD"), self.headers.get(ENCRYPTION, "")

    # What can be asked.

    def _put(self):
        if "uploadId" in self.query:
            if ENCRYPTION in self.headers:
                raise Refused(400, "InvalidArgument")
            name, tag = self.query["uploadId"], etag(self.body)
            self.data.upload(self.bucket, self.key, name)
            part = (name, int(self.query["partNumber"]), tag, self.body)
            self.data.ask("INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?)", *part)
            return 200, b"", {"ETag": tag}
        self._check_generation()
        generation, tag = self.data.put(self.bucket, self.key, self._kind(), self.body)
        return 200, b"", {"ETag": tag, "x-goog-generation": str(generation)}

    def _post(self):
        if "uploads" in self.query:
            name = uuid.uuid4().hex
            self.data.ask("INSERT INTO uploads VALUES (?, ?, ?, ?, ?)", name, self.bucket, self.key, *self._kind())
            body = f"<Bucket>{self.bucket}</Bucket><Key>{escape(self.key)}</Key><UploadId>{name}</UploadId>"
            return 200, f"<InitiateMultipartUploadResult>{body}</InitiateMultipartUploadResult>".encode(), {}
        if "uploadId" not in self.query:
            raise Refused(400, "InvalidArgument")
        name = self.query["uploadId"]
        kind = self.data.upload(self.bucket, self.key, name)
        self._check_generation()
        parts = {row[0]: row[1:] for row in self.data.ask("SELECT number, etag, data FROM parts WHERE upload = ?", name)}
        wanted = ElementTree.fromstring(self.body).iter("Part")
        data = bytearray()
        for part in wanted:
            tag, content = parts.get(int(part.findtext("PartNumber")), ("", b""))
            if not tag or tag.strip('"') != part.findtext("ETag").strip('"'):
                raise Refused(400, "InvalidPart")
            data += content
        generation, tag = self.data.put(self.bucket, self.key, kind, bytes(data))
        self.data.forget(name)
        body = f"<CompleteMultipartUploadResult><ETag>{escape(tag)}</ETag></CompleteMultipartUploadResult>"
        return 200, body.encode(), {"x-goog-generation": str(generation)}

    def _delete(self):
        if "uploadId" in self.query:
            self.data.upload(self.bucket, self.key, self.query["uploadId"])
            self.data.forget(self.query["uploadId"])
            return 204, b"", {}
        if not self.data.generation(self.bucket, self.key):
            raise Refused(404, "NoSuchKey")
        self.data.ask("DELETE FROM objects WHERE (bucket, key) = (?, ?)", self.bucket, self.key)
        return 204, b"", {}

    def _get(self):
        if not self.key:
            if "location" in self.query:
                return 200, b"<LocationConstraint>EUROPE-WEST3</LocationConstraint>", {}
            return self._uploads() if "uploads" in self.query else self._list()
        query = "SELECT generation, etag, time, class, encryption, data FROM objects WHERE (bucket, key) = (?, ?)"
        found = self.data.ask(query, self.bucket, self.key)
        if not found:
            raise Refused(404, "NoSuchKey")
        generation, tag, moment, kind, encryption, data = found[0]
        headers = {"ETag": tag, "Last-Modified": formatdate(moment, usegmt=True), "x-goog-generation": str(generation)}
        headers |= {"x-goog-storage-class": kind, "Content-Type": "application/octet-stream"}
        if encryption:
            headers[ENCRYPTION] = encryption
        if self.headers.get("if-none-match") == tag:
            return 304, b"", headers
        if self.headers.get("if-match") not in (None, tag):
            raise Refused(412, "PreconditionFailed")
        wanted = self.headers.get("range")
        if wanted is None:
            return 200, data, headers | {"Content-Length": str(len(data))}
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = (int(first), int(last or len(data) - 1)) if first else (max(0, len(data) - int(last)), len(data) - 1)
        if start >= len(data):
            raise Refused(416, "InvalidRange")
        end = min(end, len(data) - 1)
        return 206, data[start : end + 1], headers | {"Content-Range": f"bytes {start}-{end}/{len(data)}"}

    def _uploads(self):
        query = "SELECT key, id FROM uploads WHERE bucket = ? ORDER BY key, id"
        found = [row for row in self.data.ask(query, self.bucket) if row[0].startswith(self.query.get("prefix", ""))]
        listed = "".join(f"<Upload><Key>{escape(key)}</Key><UploadId>{name}</UploadId></Upload>" for key, name in found)
        body = f"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated>{listed}</ListMultipartUploadsResult>"
        return 200, body.encode(), {}

    def _list(self):
        after = self.query.get("continuation-token") or self.query.get("start-after", "")
        page = self.data.listed(self.bucket, self.query.get("prefix", ""), self.query.get("delimiter", ""), after)
        objects, folders, following = page
        body = []
        for key, size, moment, tag, generation in objects:
            modified = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(moment))
            body.append(
                f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size><LastModified>{modified}</LastModified>"
                f"<ETag>{escape(tag)}</ETag><Generation>{generation}</Generation></Contents>"
            )
        body += [f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in folders]
        if following is not None:
            body.append(f"<NextContinuationToken>{escape(following)}</NextContinuationToken>")
        return 200, f"<ListBucketResult>{''.join(body)}</ListBucketResult>".encode(), {"Content-Type": "application/xml"}


def main(port: str, database: str, *buckets: str) -> None:
    Request.data = Data(database, list(buckets))
    server = ThreadingHTTPServer(("127.0.0.1", int(port)), Request)
    server.daemon_threads = True
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
