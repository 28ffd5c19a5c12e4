"""Rights in Kafka: those that docs/cluster.md lists are enough, and what is missing is said at once."""
import time
import unittest

from harness import kafka_protocol, kafka_server, support, trials

SECRET = "kafka-5b1c88e0d2"
SOON = 25.0  # seconds; a session timeout is 45


class Rights(trials.TrialCase):
    options = {"sasl": ("phasemill", SECRET)}

    def setUp(self):
        super().setUp()
        file = self.cluster.run / "sasl-password"
        file.write_text(SECRET + "\n")
        self.cluster.extra = {
            "PHASEMILL_KAFKA_X_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "PHASEMILL_KAFKA_X_SASL_MECHANISMS": "PLAIN",
            "PHASEMILL_KAFKA_X_SASL_USERNAME": kafka_server.CLERK,
            "PHASEMILL_KAFKA_X_SASL_PASSWORD_FILE": str(file)}
        self.file = self.graph("random", "--sccs", 12, "--size", 60)

    def allow(self, *args, **options):
        servers = self.cluster.servers
        with kafka_protocol.Broker(servers.settings["host"], servers.ports("broker-1")["client"],
                                   servers.settings["sasl"]) as broker:
            broker.allow(kafka_server.CLERK, *args, **options)

    def allow_topics(self):
        topic = lambda name: self.board.topic(name)
        self.allow(kafka_protocol.TOPIC, self.cluster.name + ".", "Create", "Describe", "DescribeConfigs",
                   pattern=kafka_protocol.PREFIXED)
        self.allow(kafka_protocol.TOPIC, topic("units"), "Read", "Write")
        self.allow(kafka_protocol.TOPIC, topic("events"), "Read", "Write")
        self.allow(kafka_protocol.TOPIC, topic("dead-letters"), "Read", "Write")

    def soon_refused(self, part, *args):
        began = time.monotonic()
        self.refused(77, part, *args)
        self.assertLess(time.monotonic() - began, SOON, args)

    def test_no_right_to_the_group(self):
        self.allow_topics()
        worker = self.cluster.worker()
        self.soon_refused("roup", "submit", self.file, "--wait", "--timeout", 60)
        self.soon_refused("roup", "status")
        self.assertEqual(worker.wait(SOON), 77)
        self.assertIn("roup", worker.log)
        # with it, all that there is works
        self.allow(kafka_protocol.GROUP, self.cluster.name, "Read")
        worker = self.cluster.worker("--worker-attempts", 1)
        support.wait_until(self.board.workers, 30, "its heartbeat")
        job = self.cluster.submit(self.file)
        asked = ["--theta", "1,2"]
        self.assertEqual(trials.result(self.cluster.collect(job, *asked, "--timeout", 60)),
                         self.expected(self.file, *asked))
        self.send_probes(1, crash=True)
        support.wait_until(self.listed, 30, "the dead letter")
        self.cluster.ok("status")
        self.assertNotIn("could not be checked", worker.log)
        self.assertEqual(worker.terminate(), 0)

    def test_no_right_to_a_topic(self):
        self.soon_refused("opic", "topics")
        self.soon_refused("uthorization", "submit", self.file, "--wait", "--timeout", 60)


if __name__ == "__main__":
    unittest.main()
