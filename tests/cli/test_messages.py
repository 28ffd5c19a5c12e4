"""Messages and stored values: what `inspect` shows of each golden file is what Python wrote into it, and the schemas say
the same."""
import hashlib
import json
import os
import sys

import jsonschema
import msgpack

from support import DATA, ROOT, ProgramCase

sys.path.insert(0, str(ROOT / "tests" / "data"))
import make_messages  # noqa: E402

GOLDEN = ROOT / "tests" / "data"
SCHEMAS = {path.name: json.loads(path.read_text()) for path in (ROOT / "schemas").glob("*.schema.json")}


def validator(name):
    schema = SCHEMAS[f"{name}.schema.json"]
    resolver = jsonschema.RefResolver.from_schema(schema, store=SCHEMAS)
    return jsonschema.Draft202012Validator(schema, resolver=resolver)


def shown_as_schema_has_it(value):
    """What a MessagePack reader sees, a bin as {"bin": hexadecimal}."""
    if isinstance(value, bytes):
        return {"bin": value.hex()}
    if isinstance(value, list):
        return [shown_as_schema_has_it(each) for each in value]
    if isinstance(value, dict):
        return {key: shown_as_schema_has_it(each) for key, each in value.items()}
    return value


class Schemas(ProgramCase):
    def test_each_is_a_schema_of_its_name(self):
        for name, schema in SCHEMAS.items():
            with self.subTest(name):
                jsonschema.Draft202012Validator.check_schema(schema)
                self.assertEqual(schema["$id"], name)
                self.assertTrue(schema["title"] and schema["description"])

    def test_readme_lists_each(self):
        readme = (ROOT / "schemas" / "README.md").read_text()
        self.assertEqual([name for name in SCHEMAS if f"`{name}`" not in readme], [])

    def test_headers(self):
        unit = {"content-type": "application/msgpack", "ce_specversion": "1.0", "ce_id": "0" * 64,
                "ce_type": "phasemill.unit.record", "ce_source": "/phasemill/submit", "ce_time": "2026-11-21T19:30:00Z",
                "phasemill-version": "1", "phasemill-job": "1" * 64, "phasemill-kind": "record",
                "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
        event = {**unit, "ce_type": "phasemill.event.done", "ce_source": "/phasemill/host-7-1", "phasemill-attempt": "2"}
        dead = {**unit, "__dlq.errors.topic": "phasemill.units", "__dlq.errors.partition": "3",
                "__dlq.errors.offset": "17", "__dlq.errors.group": "phasemill", "__dlq.errors.message": "broken",
                "phasemill-attempts": "3", "phasemill-scc": "2" * 64}
        for name, headers, needed in [("unit", unit, "ce_id"), ("event", event, "ce_type"),
                                      ("dead-letter", dead, "__dlq.errors.message")]:
            with self.subTest(name):
                check = validator(f"{name}-headers")
                check.validate(headers)
                self.assertFalse(check.is_valid({k: v for k, v in headers.items() if k != needed}))
                self.assertFalse(check.is_valid({**headers, needed: 7}))
        self.assertFalse(validator("unit-headers").is_valid(event))


class Golden(ProgramCase):
    def test_inspect_shows_what_was_written(self):
        for name in make_messages.MESSAGES:
            with self.subTest(name):
                shown = self.json("inspect", GOLDEN / f"{name}-v1.msgpack")
                self.assertEqual(shown, make_messages.as_json(name))
                validator(name).validate(shown)

    def test_files_are_those_of_the_program_beside_them(self):
        for name in make_messages.MESSAGES:
            with self.subTest(name):
                self.assertEqual((GOLDEN / f"{name}-v1.msgpack").read_bytes(), make_messages.encode(name))

    def test_each_message_has_a_file_and_a_schema(self):
        versions = {path.name.split("-v")[0] for path in GOLDEN.glob("*-v*.msgpack")}
        schemas = {name.split(".")[0] for name, schema in SCHEMAS.items()
                   if "payload" in schema.get("properties", {})}
        self.assertEqual(versions - {"trace"}, set(make_messages.MESSAGES))
        self.assertEqual(schemas, set(make_messages.MESSAGES))

    def test_compressed_unit(self):
        shown = self.json("inspect", GOLDEN / "unit-v1-compressed.msgpack")
        self.assertEqual(shown, make_messages.as_json("unit"))

    def test_schemas_refuse_what_is_missing_unknown_or_of_another_kind(self):
        for name in make_messages.MESSAGES:
            check, sound = validator(name), make_messages.as_json(name)
            for field, value in sound["payload"].items():
                with self.subTest(name, field=field):
                    others = {k: v for k, v in sound["payload"].items() if k != field}
                    self.assertFalse(check.is_valid({**sound, "payload": others}))
                    other = 7.5 if isinstance(value, (str, bool)) else "x"
                    self.assertFalse(check.is_valid({**sound, "payload": {**others, field: other}}))
            self.assertFalse(check.is_valid({**sound, "payload": {**sound["payload"], "more": 1}}))
            self.assertFalse(check.is_valid({**sound, "version": 2}))

    def test_sealed(self):
        """What is inside of a seal, with the id of its key; whether it fits is not for `inspect` to say."""
        for name in ("job", "blob", "unit"):
            self.write("sealed", msgpack.packb(["phasemill.sealed", 1, make_messages.encode(name), bytes(range(40))]))
            shown = self.json("inspect", "sealed")
            validator("sealed").validate(shown)
            self.assertEqual(shown, {"name": "phasemill.sealed", "version": 1, "key": "0001020304050607",
                                     "value": make_messages.as_json(name)})
        self.write("sealed", msgpack.packb(["phasemill.sealed", 1, make_messages.encode("job"), bytes(39)]))
        self.refused(DATA, ["seal of 40 bytes, found 39"], "inspect", "sealed")
        self.write("sealed", msgpack.packb(["phasemill.sealed", 2, make_messages.encode("job"), bytes(40)]))
        self.refused(DATA, ["version 1, found 2"], "inspect", "sealed")

    def test_trace(self):
        path = GOLDEN / "trace-v2.msgpack"
        validator("trace-summary").validate(self.json("inspect", "--json", path))
        seen = msgpack.unpackb(path.read_bytes())
        validator("trace").validate(shown_as_schema_has_it(seen))
        payload = SCHEMAS["trace.schema.json"]["$defs"]["payload"]
        check = jsonschema.Draft202012Validator({"$defs": SCHEMAS["trace.schema.json"]["$defs"], **payload})
        check.validate(shown_as_schema_has_it(msgpack.unpackb(seen[2])))


class Refused(ProgramCase):
    def envelope(self, name, version, payload):
        return msgpack.packb([name, version, payload, hashlib.sha256(payload).digest()])

    def test_unknown_name_and_version(self):
        probe = msgpack.unpackb(make_messages.encode("probe"))[2]
        self.write("name", self.envelope("phasemill.future", 1, probe))
        self.refused(DATA, ['file "name"', 'found "phasemill.future"'], "inspect", "name")
        self.write("version", self.envelope("phasemill.probe", 2, probe))
        self.refused(DATA, ['file "version"', "phasemill.probe", "expected version 1, found 2"], "inspect", "version")
        self.write("trace", self.envelope("phasemill.trace", 7, probe))
        self.refused(DATA, ['file "trace"', "expected version 2, found 7"], "inspect", "trace")

    def test_damage_is_located(self):
        encoded = make_messages.encode("job")
        self.write("cut", encoded[:-1])
        self.refused(DATA, ['file "cut"', "byte "], "inspect", "cut")
        self.write("flipped", encoded[:60] + bytes([encoded[60] ^ 1]) + encoded[61:])
        self.refused(DATA, ['file "flipped"', "checksum (SHA-256)"], "inspect", "flipped")
        self.write("more", encoded + b"\n")
        self.refused(DATA, ["expected the end, found 1 more"], "inspect", "more")

    def test_body_of_another_version(self):
        fields = {**make_messages.MESSAGES["unit"], "body": self.envelope("phasemill.record", 9, b"\x80")}
        payload = make_messages.stored_frame(msgpack.packb(fields))
        self.write("unit", self.envelope("phasemill.unit", 1, payload))
        self.refused(DATA, ["phasemill.unit: body", "expected version 1, found 9"], "inspect", "unit")

    def test_unit_of_an_unknown_kind_is_shown_with_its_bytes(self):
        fields = {**make_messages.MESSAGES["unit"], "kind": "dream", "body": b"\x01\x02"}
        payload = make_messages.stored_frame(msgpack.packb(fields))
        self.write("unit", self.envelope("phasemill.unit", 1, payload))
        shown = self.json("inspect", "unit")
        self.assertEqual(shown["payload"]["body"], {"bin": "0102"})
        validator("unit").validate(shown)

    def test_numbers_that_json_lacks_are_named(self):
        fields = {**{k: make_messages.travels(v) for k, v in make_messages.MESSAGES["result"].items()},
                  "pdf": make_messages.travels(make_messages.F64s([float("nan"), float("inf"), float("-inf"), 0.5]))}
        payload = make_messages.stored_frame(msgpack.packb(fields))
        self.write("result", self.envelope("phasemill.result", 1, payload))
        shown = self.json("inspect", "result")
        self.assertEqual(shown["payload"]["pdf"], ["NaN", "Infinity", "-Infinity", 0.5])
        validator("result").validate(shown)


class Sizes(ProgramCase):
    def test_frame_of_many_blocks(self):
        graph = os.urandom(300000)
        fields = {**{k: make_messages.travels(v) for k, v in make_messages.MESSAGES["manifest"].items()}, "graph": graph}
        payload = make_messages.stored_frame(msgpack.packb(fields))
        self.write("manifest", msgpack.packb(["phasemill.manifest", 1, payload, hashlib.sha256(payload).digest()]))
        self.assertEqual(self.json("inspect", "manifest")["payload"]["graph"], {"bin": graph.hex()})
