"""A topic of units that is deleted, made again and filled at once, again and again: every unit of the new topic ends."""
import os
import random
import secrets
import time
import unittest

from harness import faults, trials

# PM_REMAKES=150 does it so often
CYCLES = int(os.environ.get("PM_REMAKES", 6))
SEED = int(os.environ.get("PM_REMAKES_SEED", 0)) or secrets.randbits(32)


class Remade(trials.TrialCase):
    def test_at_once_again_and_again(self):
        """Old units that were not done die with their topic; of the new topic, each is done, however alike the offsets."""
        draw = random.Random(SEED)
        self.topics()
        workers = self.cluster.workers(2, *faults.QUICK, "--verbose")
        self.settled(2)
        found = []
        for cycle in range(CYCLES):
            self.send_probes(draw.choice([24, 48, 96]))
            time.sleep(draw.uniform(0, 0.5))
            self.cluster.topics.delete(self.board.topic("units"))
            gap = draw.uniform(0, 0.3)
            time.sleep(gap)
            self.topics()
            began = time.time()
            new = self.send_probes(draw.choice([24, 48, 96]))
            found += self.lost(f"cycle {cycle}, {gap:.3f} s, sent at {began % 86400:.3f}", new)
        self.assertEqual(found, [], f"seed {SEED}")

    def lost(self, when, ids, seconds=40.0):
        """What has not ended, one line each: where it is, and what the group has done of that partition."""
        try:
            self.wait_ended(ids, seconds)
            return []
        except AssertionError:
            topic = self.board.topic("units")
            places = {m.key(): (m.partition(), m.offset()) for m in self.cluster.topics.read(topic)}
            committed = self.cluster.topics.committed(self.cluster.name, topic)
            lines = []
            for id in ids:
                if self.board.outcome(id) is None:
                    at = places.get(id)
                    why = "not on the topic" if at is None else \
                        f"partition {at[0]} offset {at[1]}, committed {committed[at[0]]}"
                    lines.append(f"{when}: {id.hex()[:8]}: {why}, attempts {self.board.attempts(id)}")
            print(*lines, sep="\n", flush=True)
            return lines


if __name__ == "__main__":
    unittest.main()
