"""What tests do to Kafka behind phasemill's back: strange messages, messages twice, reading all of a topic."""
import time

import confluent_kafka
from confluent_kafka import admin


class Topics:
    def __init__(self, servers):
        settings = servers.settings
        self._base = {"bootstrap.servers": servers.environment()["PHASEMILL_KAFKA_BROKERS"], "log_level": 0}
        if settings["sasl"]:
            user, password = settings["sasl"]
            self._base |= {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": user,
                           "sasl.password": password}
        self._admin = admin.AdminClient(self._base)

    def names(self):
        return sorted(self._admin.list_topics(timeout=20).topics)

    def partitions(self, topic):
        found = self._admin.list_topics(topic, timeout=20).topics[topic]
        if found.error:
            raise confluent_kafka.KafkaException(found.error)
        return len(found.partitions)

    def create(self, topic, partitions=1, replication=1, **settings):
        """Settings with _ for the dots of their names."""
        config = {name.replace("_", "."): str(value) for name, value in settings.items()}
        new = admin.NewTopic(topic, partitions, replication, config=config)
        self._admin.create_topics([new], request_timeout=20)[topic].result()

    def delete(self, *topics):
        for future in self._admin.delete_topics(list(topics), request_timeout=20).values():
            future.result()

    def configure(self, topic, **settings):
        """Settings as of create(); those that are not named get the brokers' defaults."""
        config = {name.replace("_", "."): str(value) for name, value in settings.items()}
        resource = admin.ConfigResource(admin.RESOURCE_TOPIC, topic, set_config=config)
        self._admin.alter_configs([resource], request_timeout=20)[resource].result()

    def settings(self, topic):
        resource = admin.ConfigResource(admin.RESOURCE_TOPIC, topic)
        found = self._admin.describe_configs([resource], request_timeout=20)[resource].result()
        return {name: entry.value for name, entry in found.items()}

    def send(self, topic, value, key=None, headers=(), partition=0):
        """Sends one message, and returns (partition, offset) when it is there."""
        return self.send_all(topic, [(value, key, list(headers), partition)])[0]

    def send_all(self, topic, messages):
        """Sends [(value, key, headers, partition), ...]; their (partition, offset) in order."""
        places = [None] * len(messages)

        def delivered(index):
            def report(error, message):
                places[index] = error or (message.partition(), message.offset())

            return report

        producer = confluent_kafka.Producer({**self._base, "message.max.bytes": 4000000})
        for index, (value, key, headers, partition) in enumerate(messages):
            producer.produce(topic, value, key, partition=partition, headers=headers, on_delivery=delivered(index))
            producer.poll(0)
        producer.flush(60)
        for place in places:
            if not isinstance(place, tuple):
                raise confluent_kafka.KafkaException(place or "not delivered within 60 s")
        return places

    def ends(self, topic):
        """{partition: (first offset, next offset)}"""
        with _consumer(self._base) as consumer:
            return {p: _ends_of(consumer, confluent_kafka.TopicPartition(topic, p))
                    for p in range(self.partitions(topic))}

    def read(self, topic, seconds=30.0, last=None):
        """All messages (or the `last` of each partition) that the topic holds now, as of confluent_kafka, by partition
        and offset."""
        places = {p: (first, end) for p, (first, end) in self.ends(topic).items() if end > first}
        ends = {p: end for p, (first, end) in places.items()}
        found = []
        with _consumer(self._base) as consumer:
            start = lambda first, end: first if last is None else max(first, end - last)
            consumer.assign([confluent_kafka.TopicPartition(topic, p, start(*places[p])) for p in ends])
            deadline = time.monotonic() + seconds
            # positions, not offsets of messages: compaction leaves gaps, also at the end
            while any(p.offset < ends[p.partition] for p in consumer.position(consumer.assignment())):
                message = consumer.poll(0.2)
                if message is not None and message.error():
                    raise confluent_kafka.KafkaException(message.error())
                if message is not None and message.offset() < ends[message.partition()]:
                    found.append(message)
                if time.monotonic() > deadline:
                    raise TimeoutError(f"{topic}: {len(found)} messages read in {seconds:.0f} s")
        return sorted(found, key=lambda m: (m.partition(), m.offset()))

    def again(self, topic, last=None):
        """Sends all messages of a topic (or the `last` of each partition) once more, each to its partition."""
        found = self.read(topic, last=last)
        return self.send_all(topic, [(m.value(), m.key(), m.headers() or [], m.partition()) for m in found])

    def committed(self, group, topic):
        """{partition: next offset} that a group committed; -1001 where it has not."""
        with _consumer({**self._base, "group.id": group}) as consumer:
            asked = [confluent_kafka.TopicPartition(topic, p) for p in range(self.partitions(topic))]
            deadline = time.monotonic() + 20
            while True:
                try:
                    return {p.partition: p.offset for p in consumer.committed(asked, timeout=20)}
                except confluent_kafka.KafkaException:  # a broker that has just come back does not coordinate yet
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.2)


    def member(self, group, topic, **settings):
        """A member of a group that rebalances only while it is polled. Settings as of create()."""
        config = {name.replace("_", "."): value for name, value in settings.items()}
        consumer = confluent_kafka.Consumer({**self._base, "group.id": group, "partition.assignment.strategy": "roundrobin",
                                             **config})
        consumer.subscribe([topic], on_assign=lambda c, p: c.assign(p), on_revoke=lambda c, p: c.unassign())
        return consumer


class _consumer:
    def __init__(self, base):
        self._consumer = confluent_kafka.Consumer({"group.id": "reader-of-tests", **base, "enable.auto.commit": False,
                                                   "enable.partition.eof": False, "fetch.wait.max.ms": 50})

    def __enter__(self):
        return self._consumer

    def __exit__(self, *_):
        self._consumer.close()


def _ends_of(consumer, partition, seconds=20):
    """A partition of a topic that was made a moment ago may have no leader yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return consumer.get_watermark_offsets(partition, timeout=seconds)
        except confluent_kafka.KafkaException as error:
            is_passing = error.args[0].code() == confluent_kafka.KafkaError.NOT_LEADER_FOR_PARTITION
            if not is_passing or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
