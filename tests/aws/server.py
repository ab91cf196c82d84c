"""AWS on loopback: moto (S3, STS, KMS) with what it lacks, and with faults.

Adds CloudTrail's LookupEvents and ListPublicKeys, a log of requests, and faults: throttling, refusals,
truncated bodies, resets, stalls. Prints `ready PORT` when it listens; ends when its standard input ends.

Control, JSON over HTTP (see tests/aws/server.rs for the Rust side):
  POST   /_test/reset        {}                                  forget everything, S3 too
  POST   /_test/events       {records, account?, region?, visible_after?}
  POST   /_test/objects      {bucket, directory, prefix?, region?, visible_after?}
  POST   /_test/public-keys  {keys, account?, region?}           PublicKeyList entries as the API gives them
  POST   /_test/faults       [fault, ...]                        see Fault
  DELETE /_test/faults
  GET    /_test/requests     what was asked, in order
"""

import base64
import bisect
import io
import json
import os
import re
import socket
import struct
import sys
import threading
import time
import zlib
from calendar import timegm
from urllib.parse import parse_qs

import moto.backends
import werkzeug.serving
from moto.iam.models import get_account_id_from
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)

# The account of credentials that no AssumeRole gave, unless the access key id holds twelve digits: then those.
OWN_ACCOUNT = "111122223333"
MOTO_ACCOUNT = "123456789012"
PAGE_EVENTS_MAX = 50


def seconds_of(iso):
    return timegm(time.strptime(iso[:19], "%Y-%m-%dT%H:%M:%S"))


class History:
    """The event history of one account and region."""

    def __init__(self):
        self.by_attribute = {}
        self.is_sorted = True
        self.ids = set()

    def add(self, text, sequence, visible_at):
        record = json.loads(text)
        event = shown(record, text)
        if event["EventId"] in self.ids:
            return
        self.ids.add(event["EventId"])
        entry = (event["EventTime"], sequence, visible_at, event)
        attributes = [(None, None)]
        for name in ("EventId", "EventName", "EventSource", "ReadOnly", "AccessKeyId", "Username"):
            if event.get(name):
                attributes.append((name, event[name]))
        for resource in event["Resources"]:
            attributes.append(("ResourceName", resource["ResourceName"]))
            attributes.append(("ResourceType", resource["ResourceType"]))
        for attribute in set(attributes):
            self.by_attribute.setdefault(attribute, []).append(entry)
        self.is_sorted = False

    def newest_first(self, attribute):
        if not self.is_sorted:
            for entries in self.by_attribute.values():
                entries.sort(key=lambda entry: (-entry[0], -entry[1]))
            self.is_sorted = True
        return self.by_attribute.get(attribute, [])


RESOURCE_IDS = {
    "i": "AWS::EC2::Instance",
    "vol": "AWS::EC2::Volume",
    "ami": "AWS::EC2::Ami",
    "lt": "AWS::EC2::LaunchTemplate",
    "snap": "AWS::EC2::Snapshot",
}


def shown(record, text):
    """A record as LookupEvents shows it."""
    identity = record.get("userIdentity") or {}
    names = {(r.get("type", "AWS::Unknown"), r["ARN"]) for r in record.get("resources") or [] if r.get("ARN")}
    if record.get("eventSource") == "ec2.amazonaws.com":
        for prefix, rest in re.findall(r'"(i|vol|ami|lt|snap)-([0-9a-f]{8,17})"', text):
            names.add((RESOURCE_IDS[prefix], f"{prefix}-{rest}"))
    user_name = identity.get("userName") or (identity.get("arn") or "").rsplit("/", 1)[-1]
    event = {
        "EventId": record["eventID"],
        "EventName": record["eventName"],
        "ReadOnly": "true" if record.get("readOnly") in (True, "true") else "false",
        "EventTime": seconds_of(record["eventTime"]),
        "EventSource": record["eventSource"],
        "Resources": [{"ResourceType": t, "ResourceName": n} for t, n in sorted(names)],
        "CloudTrailEvent": text,
    }
    if user_name:
        event["Username"] = user_name
    if identity.get("accessKeyId"):
        event["AccessKeyId"] = identity["accessKeyId"]
    return event


class ApiError(Exception):
    def __init__(self, code, message, status=400):
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


class CloudTrail:
    """LookupEvents and ListPublicKeys."""

    def __init__(self):
        self.lock = threading.Lock()
        self.reset()

    def reset(self):
        with self.lock:
            self.histories = {}
            self.sequence = 0
            self.public_keys = {}

    def add_events(self, body):
        visible_at = time.time() + body.get("visible_after", 0)
        with self.lock:
            for text in body["records"]:
                record = json.loads(text)
                account = body.get("account") or record.get("recipientAccountId") or OWN_ACCOUNT
                region = body.get("region") or record["awsRegion"]
                self.sequence += 1
                history = self.histories.setdefault((account, region), History())
                history.add(text, self.sequence, visible_at)

    def add_public_keys(self, body):
        with self.lock:
            place = (body.get("account") or OWN_ACCOUNT, body.get("region") or "us-east-1")
            self.public_keys.setdefault(place, []).extend(body["keys"])

    def call(self, operation, account, region, request):
        with self.lock:
            if operation == "LookupEvents":
                return self.lookup_events(account, region, request)
            if operation == "ListPublicKeys":
                return self.list_public_keys(account, region, request)
        raise ApiError("UnknownOperationException", operation)

    def lookup_events(self, account, region, request):
        attributes = request.get("LookupAttributes") or []
        if len(attributes) > 1:
            raise ApiError("InvalidLookupAttributesException", "You can provide only one lookup attribute.")
        attribute = (None, None)
        if attributes:
            attribute = (attributes[0]["AttributeKey"], attributes[0]["AttributeValue"])
        limit = request.get("MaxResults") or PAGE_EVENTS_MAX
        if not 1 <= limit <= PAGE_EVENTS_MAX:
            raise ApiError("InvalidMaxResultsException", "A maximum result of 1 to 50 is allowed.")
        start, end = request.get("StartTime"), request.get("EndTime")
        if start is not None and end is not None and start > end:
            raise ApiError("InvalidTimeRangeException", "Start time must be before end time.")
        asked = zlib.crc32(json.dumps([account, region, attribute, start, end]).encode())
        below = None
        if request.get("NextToken"):
            try:
                token = json.loads(base64.b64decode(request["NextToken"]))
            except ValueError:
                raise ApiError("InvalidNextTokenException", "Invalid token.") from None
            if token["asked"] != asked:
                raise ApiError("InvalidNextTokenException", "The token was given for other parameters.")
            below = tuple(token["below"])
        history = self.histories.get((account, region)) or History()
        entries = history.newest_first(attribute)
        first = 0
        if below is not None:
            first = bisect.bisect_right(entries, (-below[0], -below[1]), key=lambda e: (-e[0], -e[1]))
        now, page, last, more = time.time(), [], None, False
        for position in range(first, len(entries)):
            event_time, sequence, visible_at, event = entries[position]
            if start is not None and event_time < start:
                break
            if visible_at > now or (end is not None and event_time > end):
                continue
            if len(page) == limit:
                more = True
                break
            page.append(event)
            last = (event_time, sequence)
        answer = {"Events": page}
        if more:
            token = json.dumps({"asked": asked, "below": last})
            answer["NextToken"] = base64.b64encode(token.encode()).decode()
        return answer

    def list_public_keys(self, account, region, request):
        start, end = request.get("StartTime"), request.get("EndTime")
        keys = [
            key
            for key in self.public_keys.get((account, region), [])
            if (end is None or key["ValidityStartTime"] <= end)
            and (start is None or key["ValidityEndTime"] >= start)
        ]
        return {"PublicKeyList": keys}


# What each kind of fault answers: to JSON protocols (CloudTrail) and to S3, as (status, code, message).
ANSWERS = {
    "throttle": {
        "json": (400, "ThrottlingException", "Rate exceeded"),
        "s3": (503, "SlowDown", "Please reduce your request rate."),
    },
    "server-error": {
        "json": (500, "InternalFailure", "The request processing has failed because of an unknown error."),
        "s3": (500, "InternalError", "We encountered an internal error. Please try again."),
    },
    "expired-token": {
        "json": (400, "ExpiredTokenException", "The security token included in the request is expired"),
        "s3": (400, "ExpiredToken", "The provided token has expired."),
    },
    "access-denied": {
        "json": (
            400,
            "AccessDeniedException",
            "User: arn:aws:sts::111122223333:assumed-role/reader/session is not authorized to perform: "
            "cloudtrail:{operation} because no identity-based policy allows the cloudtrail:{operation} action",
        ),
        "s3": (403, "AccessDenied", "Access Denied"),
    },
    # What an opt-in region answers that the account has not enabled.
    "region-not-enabled": {
        "json": (400, "UnrecognizedClientException", "The security token included in the request is invalid."),
        "s3": (403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."),
    },
    "kms-denied": {
        "s3": (
            403,
            "AccessDenied",
            "User: arn:aws:sts::111122223333:assumed-role/reader/session is not authorized to perform: kms:Decrypt "
            "on resource: {key_arn} because no resource-based policy allows the kms:Decrypt action",
        ),
    },
}
ANSWERS["slow-down"] = ANSWERS["throttle"]


class Fault:
    """One fault, and which requests it hits.

    kind: a name of ANSWERS, `error` (status, code, message, headers), `truncate` and `stall` (after_bytes of the body; a
    stall then lasts `seconds` before the connection ends), `reset` (after_bytes, or before any answer), `delay` (seconds).
    Which: service, operation, region, contains (in path, query or body). How often: skip, times; or `share` of the
    distinct requests, chosen by `seed`, each of them once.
    """

    def __init__(self, spec):
        self.spec = spec
        self.kind = spec["kind"]
        self.seen = 0
        self.hits = 0
        self.hit_once = set()

    def strikes(self, call):
        spec = self.spec
        for name in ("service", "operation", "region"):
            if spec.get(name) and spec[name] != call[name]:
                return False
        if spec.get("contains") and spec["contains"] not in call["detail"]:
            return False
        if "share" in spec:
            name = f"{spec.get('seed', 0)} {call['detail']}".encode()
            if name in self.hit_once or zlib.crc32(name) / 2**32 >= spec["share"]:
                return False
            self.hit_once.add(name)
        self.seen += 1
        if self.seen <= spec.get("skip", 0) or self.hits >= spec.get("times", sys.maxsize):
            return False
        self.hits += 1
        return True


class Server:
    """The WSGI application: control, faults, CloudTrail, and moto for the rest."""

    def __init__(self):
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.cloudtrail = CloudTrail()
        self.lock = threading.Lock()
        self.faults = []
        self.requests = []
        self.generation = 0

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"].startswith("/_test/"):
            return self.control(environ, start_response)
        call = describe(environ)
        with self.lock:
            fault = next((fault for fault in self.faults if fault.strikes(call)), None)
            call["fault"] = fault and fault.kind
            self.requests.append(call)
        return self.answer(environ, start_response, call, fault)

    def answer(self, environ, start_response, call, fault):
        kind = fault and fault.kind
        spec = fault.spec if fault else {}
        if kind == "delay":
            time.sleep(spec.get("seconds", 1))
        if kind == "reset" and "after_bytes" not in spec:
            raise drop(environ, is_reset=True)
        if kind == "error" or kind in ANSWERS:
            return refuse(environ, start_response, call, spec)
        if call["service"] == "cloudtrail" and call["operation"] in ("LookupEvents", "ListPublicKeys"):
            status, headers, body = self.ask_cloudtrail(environ, call)
        else:
            status, headers, body = self.ask_moto(environ, call)
        call["status"] = int(status.split()[0])
        start_response(status, headers)
        if kind in ("truncate", "stall", "reset") and body:
            return broken(environ, body, kind, spec)
        return [body]

    def ask_moto(self, environ, call):
        plain = plain_object(environ) if call["operation"] == "GetObject" else None
        if plain:
            return plain
        taken = {}

        def take(status, headers, exc_info=None):
            taken["status"], taken["headers"] = status, headers

        app = self.moto.get_application(environ)
        body = b"".join(app(environ, take))
        headers = [(name, value) for name, value in taken["headers"]]
        if environ["REQUEST_METHOD"] != "HEAD" and not any(n.lower() == "content-length" for n, _ in headers):
            headers.append(("Content-Length", str(len(body))))
        return taken["status"], headers, body

    def ask_cloudtrail(self, environ, call):
        try:
            answer = self.cloudtrail.call(call["operation"], call["account"], call["region"], call.pop("request"))
            return json_answer(200, answer)
        except ApiError as error:
            return json_answer(error.status, {"__type": error.code, "message": error.message})

    def control(self, environ, start_response):
        name = environ["PATH_INFO"].removeprefix("/_test/")
        method = environ["REQUEST_METHOD"]
        text = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = json.loads(text) if text else {}
        answer = {}
        if name == "reset":
            self.reset()
        elif name == "events":
            self.cloudtrail.add_events(body)
        elif name == "public-keys":
            self.cloudtrail.add_public_keys(body)
        elif name == "objects":
            answer = self.put_objects(body)
        elif name == "faults":
            with self.lock:
                if method == "DELETE":
                    self.faults = []
                else:
                    self.faults.extend(Fault(spec) for spec in body)
        elif name == "requests":
            with self.lock:
                answer = {"requests": [{k: v for k, v in c.items() if k != "request"} for c in self.requests]}
        status, headers, body = json_answer(200, answer)
        start_response(status, headers)
        return [body]

    def reset(self):
        with self.lock:
            self.faults, self.requests = [], []
            self.generation += 1
        self.cloudtrail.reset()
        backends = moto.backends.get_backend("s3")
        for account in list(backends):
            for backend in list(backends[account].values()):
                backend.reset()

    def put_objects(self, body):
        """Copies a directory into a bucket: at once, or later without waiting for it."""
        backend = moto.backends.get_backend("s3")[MOTO_ACCOUNT]["aws"]
        region = body.get("region", "us-east-1")
        if body["bucket"] not in backend.buckets:
            backend.create_bucket(body["bucket"], region)
        objects = []
        for directory, names, files in os.walk(body["directory"]):
            names.sort()
            for file in sorted(files):
                path = os.path.join(directory, file)
                inner = os.path.relpath(path, body["directory"]).replace(os.sep, "/")
                with open(path, "rb") as opened:
                    objects.append((body.get("prefix", "") + inner, opened.read()))
        generation = self.generation

        def put():
            if self.generation == generation:
                for key, value in objects:
                    backend.put_object(body["bucket"], key, value)

        if body.get("visible_after"):
            timer = threading.Timer(body["visible_after"], put)
            timer.daemon = True
            timer.start()
        else:
            put()
        return {"objects": len(objects)}


def plain_object(environ):
    """A whole object in the standard storage class, several times faster than moto's own way; None for all else."""
    query = environ.get("QUERY_STRING", "")
    if query not in ("", "x-id=GetObject") or "HTTP_RANGE" in environ:
        return None
    conditions = {name for name in environ if name.startswith(("HTTP_IF_", "HTTP_X_AMZ_SERVER_SIDE"))}
    if conditions - {"HTTP_IF_MATCH"}:
        return None
    bucket_name, _, key_name = environ["PATH_INFO"].lstrip("/").partition("/")
    bucket = moto.backends.get_backend("s3")[MOTO_ACCOUNT]["aws"].buckets.get(bucket_name)
    key = bucket and bucket.keys.get(key_name)
    if not key or key.storage_class != "STANDARD" or bucket.is_versioned or not hasattr(key, "etag"):
        return None
    if environ.get("HTTP_IF_MATCH", key.etag) != key.etag:
        return None
    body = key.value
    headers = [
        ("Content-Type", "binary/octet-stream"),
        ("Content-Length", str(len(body))),
        ("ETag", key.etag),
        ("Last-Modified", key.last_modified_RFC1123),
        ("Accept-Ranges", "bytes"),
    ]
    return "200 OK", headers, body


def describe(environ):
    """Who asks what of whom."""
    authorization = environ.get("HTTP_AUTHORIZATION", "")
    scope = re.search(r"Credential=([^/]+)/\d+/([^/]*)/([^/]+)/aws4_request", authorization)
    key, region, service = scope.groups() if scope else (None, "us-east-1", "s3")
    path, query = environ["PATH_INFO"], environ.get("QUERY_STRING", "")
    named = re.search(r"\d{12}", key or "")
    account = named.group() if named else get_account_id_from(key) if key else MOTO_ACCOUNT
    call = {
        "at": time.time(),
        "service": service,
        "region": region,
        "account": OWN_ACCOUNT if account == MOTO_ACCOUNT else account,
        "method": environ["REQUEST_METHOD"],
        "range": environ.get("HTTP_RANGE"),
        "payer": environ.get("HTTP_X_AMZ_REQUEST_PAYER"),
        "status": None,
    }
    target = environ.get("HTTP_X_AMZ_TARGET")
    if target:
        text = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(text)
        call["operation"] = target.rsplit(".", 1)[-1]
        call["detail"] = text.decode("utf-8", "replace")
        call["request"] = json.loads(text or "{}")
        return call
    call["detail"] = f"{path}?{query}" if query else path
    if service == "s3":
        call["operation"] = s3_operation(environ["REQUEST_METHOD"], path, parse_qs(query, keep_blank_values=True))
    else:
        call["operation"] = None
    return call


def s3_operation(method, path, query):
    has_key = len(path.strip("/").split("/", 1)) > 1
    if "list-type" in query:
        return "ListObjectsV2"
    if "location" in query:
        return "GetBucketLocation"
    if has_key:
        return {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject"}.get(method, method)
    return {"GET": "ListObjects", "HEAD": "HeadBucket", "PUT": "CreateBucket"}.get(method, method)


def json_answer(status, answer):
    body = json.dumps(answer).encode()
    headers = [
        ("Content-Type", "application/x-amz-json-1.1"),
        ("Content-Length", str(len(body))),
        ("x-amzn-RequestId", "00000000-0000-4000-8000-000000000000"),
    ]
    return f"{status} {'OK' if status == 200 else 'Error'}", headers, body


def refuse(environ, start_response, call, spec):
    protocol = "s3" if call["service"] == "s3" else "json"
    if spec["kind"] == "error":
        status, code, message = spec["status"], spec["code"], spec.get("message", "")
    else:
        status, code, message = ANSWERS[spec["kind"]][protocol]
    message = message.format(
        operation=call["operation"],
        key_arn=spec.get("key_arn", "arn:aws:kms:us-east-1:111122223333:key/11111111-2222-3333-4444-555555555555"),
    )
    call["status"] = status
    if protocol == "json":
        status_line, headers, body = json_answer(status, {"__type": code, "message": message})
    else:
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message>'
            "<RequestId>0000000000000000</RequestId><HostId>host</HostId></Error>"
        ).encode()
        status_line = f"{status} Error"
        headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
        headers += [(name, value) for name, value in spec.get("headers", {}).items()]
    start_response(status_line, headers)
    return [b"" if call["method"] == "HEAD" else body]


def broken(environ, body, kind, spec):
    """A body whose promised length never comes."""
    yield body[: min(spec.get("after_bytes", len(body) // 2), len(body) - 1)]
    if kind == "stall":
        time.sleep(spec.get("seconds", 60))
    raise drop(environ, is_reset=kind == "reset")


def drop(environ, is_reset):
    handler = environ["keytrail.handler"]
    handler.close_connection = True
    if is_reset:
        handler.server.resets.add(handler.connection)
    return ConnectionAbortedError("a fault that was asked for")


class Handler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def make_environ(self):
        environ = super().make_environ()
        environ["keytrail.handler"] = self
        return environ

    def log(self, *_arguments):
        pass

    def log_error(self, *_arguments):
        pass


class Listener(werkzeug.serving.ThreadedWSGIServer):
    def __init__(self, app):
        self.resets = set()
        super().__init__("127.0.0.1", 0, app, handler=Handler)

    def shutdown_request(self, request):
        if request in self.resets:
            self.resets.discard(request)
            # Closing with a linger time of nothing is what sends a reset.
            request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            request.close()
        else:
            super().shutdown_request(request)


def end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)


def main():
    werkzeug.serving.LISTEN_QUEUE = 1024
    listener = Listener(Server())
    threading.Thread(target=end_with_parent, daemon=True).start()
    print("ready", listener.port, flush=True)
    listener.serve_forever()


if __name__ == "__main__":
    main()
