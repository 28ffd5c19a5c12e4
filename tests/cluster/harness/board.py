"""What Redis and the dead-letters topic hold for the programs of a test, read without phasemill."""
from harness import forge


class Board:
    def __init__(self, cluster):
        self.name = cluster.name
        self.topics = cluster.topics
        self.redis = cluster.redis()

    def close(self):
        self.redis.close()

    def key(self, space, digest):
        return f"{self.name}:{space}:{{{digest if isinstance(digest, str) else digest.hex()}}}"

    def message(self, space, digest):
        """The decoded message at a key, or None."""
        value = self.redis("GET", self.key(space, digest))
        return None if value is None else forge.opened(value)

    def outcome(self, unit):
        return self.message("outcome", unit)

    def failure(self, job):
        return self.message("failed", job)

    def attempts(self, unit):
        """{"begun": n, "faults": n} as far as they were counted."""
        flat = self.redis("HGETALL", self.key("attempts", unit))
        return {name.decode(): int(count) for name, count in zip(flat[::2], flat[1::2])}

    def units(self, job):
        """Records of a job's units, by the unit."""
        ids = self.redis("SMEMBERS", self.key("job-units", job))
        return {id: self.message("unit", id) for id in ids}

    def workers(self):
        """Heartbeats by worker id."""
        keys = self.redis.keys(f"{self.name}:worker:*")
        beats = [self.redis("GET", key) for key in keys]
        return {beat["id"]: beat for beat in (forge.opened(b) for b in beats if b is not None)}

    def keys(self, space):
        """Digests in hexadecimal of all keys of a space."""
        return [key.decode().rpartition("{")[2].rstrip("}") for key in self.redis.keys(f"{self.name}:{space}:*")]

    def topic(self, which):
        return f"{self.name}.{which}"

    def letters(self):
        """The dead letters by key, and how many messages were sent for each: {key: [(headers, value), ...]}; dropped
        ones are left out."""
        found = {}
        for message in self.topics.read(self.topic("dead-letters")):
            headers = {name: value.decode(errors="replace") for name, value in message.headers() or []}
            found.setdefault(message.key(), []).append((headers, message.value()))
        return {key: letters for key, letters in found.items() if letters[-1][1] is not None}
