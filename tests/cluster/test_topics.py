"""Topics that are deleted, made again, or refuse messages: nothing is lost, nothing hangs, and somebody says so."""
import time
import unittest

from harness import faults, kafka_protocol, support, trials

ANEW = "was deleted and made again"


class Remade(trials.TrialCase):
    def remake(self, pause=0.0):
        self.cluster.topics.delete(self.board.topic("units"))
        time.sleep(pause)
        self.topics()

    def probe(self, *args):
        return self.cluster.ok("probe", "--timeout", 40, *args)

    def place(self):
        """Where the group stands, and the topic ends, where something was sent."""
        topic = self.board.topic("units")
        committed = self.cluster.topics.committed(self.cluster.name, topic)
        ends = {p: end for p, (_, end) in self.cluster.topics.ends(topic).items() if end}
        return {p: committed[p] for p in ends}, ends

    def all_committed(self):
        support.wait_until(lambda: self.place()[0] == self.place()[1], 15, lambda: f"committed and ends: {self.place()}")

    def ends_at_once(self, worker):
        began = time.monotonic()
        self.assertEqual(worker.terminate(30), 0)
        self.assertLess(time.monotonic() - began, 8)
        self.assertEqual(worker.descendants(), [])

    def test_at_once_and_later(self):
        """As many units as before are sent to the new topic, so that old and new offsets are alike."""
        self.topics()
        worker = self.cluster.worker()
        self.settled(1)
        self.probe("--units", 48)
        for pause, wait in ((0, 0), (0, 2), (2.5, 0)):
            with self.subTest(pause=pause, wait=wait):
                self.remake(pause)
                time.sleep(wait)
                self.probe("--units", 48)
                self.probe("--units", 5)
                self.all_committed()
        self.assertIn(ANEW, worker.log)
        self.ends_at_once(worker)

    def test_by_a_worker_that_was_not_there_before(self):
        """The one that knows nothing but the group's offsets finds out by the messages before them."""
        self.topics()
        first = self.cluster.worker()
        self.settled(1)
        self.probe("--units", 48)
        second = self.cluster.worker()
        self.settled(2)
        self.ends_at_once(first)
        self.settled(1)
        self.remake()
        self.probe("--units", 48)
        self.all_committed()
        self.ends_at_once(second)

    def test_a_late_commit(self):
        """An offset of the old topic becomes one of the new topic, and a worker that knows neither gets it."""
        self.topics()
        topic, first = self.board.topic("units"), self.cluster.worker()
        self.settled(1)
        self.probe("--units", 48)
        self.all_committed()
        servers = self.cluster.servers
        with kafka_protocol.Broker(servers.settings["host"], servers.ports("broker-1")["client"]) as broker:
            old = broker.offsets(self.cluster.name, topic, trials.PARTITIONS)
        self.assertGreater(len(old), 10)
        self.ends_at_once(first)
        self.remake()
        ids = self.send_probes(96)
        with kafka_protocol.Broker(servers.settings["host"], servers.ports("broker-1")["client"]) as broker:
            broker.commit(self.cluster.name, topic, old)
        second = self.cluster.worker()
        self.wait_ended(ids, 40)
        second.wait_log(ANEW, 1)
        self.ends_at_once(second)

    def test_units_in_hand(self):
        """What is finished of the old topic is not committed to the new one."""
        self.topics()
        worker = self.cluster.worker(slots=2)
        self.settled(1)
        old = self.send_probes(48, seconds=0.01)
        self.wait_ended(old)
        long = self.send_probes(2, partitions=[0, 1], seconds=3.0)
        support.wait_until(lambda: len(trials.busy_children(worker)) == 2 and
                           all(self.board.attempts(id).get("begun") for id in long), 20, "both are begun")
        self.remake()
        new = self.send_probes(48)
        self.wait_ended(new + long, 40)
        self.all_committed()
        self.assertEqual(self.board.letters(), {})
        self.ends_at_once(worker)


    def test_probes_that_die_with_their_topic(self):
        """Kafka had taken them, and nobody ever sees them: whoever sent them finds out, and sends them again."""
        self.topics()
        worker = self.cluster.worker(*faults.QUICK)
        self.settled(1)
        worker.stop()
        probe = self.cluster.start("probe", "--units", 48, "--timeout", 60)
        support.wait_until(lambda: sum(end for _, end in self.cluster.topics.ends(self.board.topic("units")).values()) >= 48,
                           20, "all are on the topic")
        self.remake()
        worker.cont()
        self.assertEqual(probe.wait(62), 0, probe.log)
        # all but those that the worker had taken before it was stopped
        self.assertRegex(probe.log, r"\b4[0-8] units have not ended and are unclaimed; they are sent again")
        self.ends_at_once(worker)


class Silent(trials.TrialCase):
    def test_a_group_that_does_not_answer(self):
        """Another member heartbeats and never joins again, so that the coordinator waits for it: the worker says so."""
        self.topics()
        member = self.cluster.topics.member(self.cluster.name, self.board.topic("units"), session_timeout_ms=6000,
                                            max_poll_interval_ms=40000)
        support.wait_until(lambda: member.poll(0.2) or member.assignment(), 30, "the member has partitions")
        worker = self.cluster.worker(*faults.QUICK)
        worker.wait_log("the group has given no partitions for 1[1-9] s, although the topic is there", 30)
        member.close()
        self.settled(1)
        self.wait_ended(self.send_probes(24))
        self.assertEqual(worker.terminate(20), 0)


class UnderAJob(faults.FaultCase):
    def test_deleted(self):
        """The collector makes the topic again, and sends what was on it."""
        workers, collector = self.begin(workers=2)
        self.cluster.topics.delete(self.board.topic("units"))
        self.not_done()
        self.finish(collector, workers, seconds=90, lines=8)
        self.assertRegex(collector.log, "units.*it is made again|made topic .*units")  # the latter when it came late


class Refusals(trials.TrialCase):
    """Timestamps, as Kafka refuses those of a clock that is wrong."""

    def refuse(self, name, **settings):
        topic = self.board.topic(name)
        self.cluster.topics.configure(topic, message_timestamp_before_max_ms=0, **settings)
        support.wait_until(lambda: self.cluster.topics.settings(topic)["message.timestamp.before.max.ms"] == "0", 10)
        time.sleep(0.5)

    def test_units(self):
        self.topics()
        self.refuse("units", max_message_bytes=2097152)
        graph = self.graph("random", "--sccs", 40, "--size", 60)
        began = time.monotonic()
        message = self.refused(78, ["timestamp", "clock"], "submit", graph, "--wait", "--timeout", 30, "--theta", "1,2")
        self.assertLess(time.monotonic() - began, 15)
        self.assertIn(self.board.topic("units"), message)

    def test_dead_letters_and_events(self):
        """The unit fails all the same, and the log says what could not be sent."""
        self.topics()
        self.refuse("dead-letters", cleanup_policy="compact", max_message_bytes=2097152)
        self.refuse("events")
        worker = self.cluster.worker("--worker-attempts", 1)
        ids = self.send_probes(1, crash=True)
        outcome, = self.wait_ended(ids, 30)
        self.assertNotEqual(outcome["code"], 0)
        worker.wait_log("becomes no dead letter: Kafka refused .*timestamp", 10)
        worker.wait_log("events are refused.*timestamp", 10)
        self.assertEqual(worker.terminate(), 0)


if __name__ == "__main__":
    unittest.main()
