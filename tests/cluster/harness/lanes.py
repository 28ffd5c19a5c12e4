"""The soak's jobs: in each lane one after the other is submitted, collected and compared."""
import shutil
import time
import zlib

from harness import trials

# A step that takes longer hangs, whatever happens meanwhile.
HANGS = 180
THETA = {"random": "1,2;3,0.5", "two-locus-arg": "2,5;1,0.5", "jsfs": "1,2,0.5,0.3", "rabbits": "1,2,4",
         "tandem": "1,2,2,1"}


def draw(random):
    """A graph of any size: the words of `generate`."""
    kind = random.choice(["small", "small", "model", "large", "large"])
    if kind == "small":
        return ("random", "--sccs", random.randint(1, 60), "--size", random.randint(2, 40), "--extra", 2, "--seed",
                random.randrange(10**6))
    if kind == "large":
        return ("random", "--sccs", random.randint(60, 400), "--size", random.randint(60, 200), "--extra", 2, "--seed",
                random.randrange(10**6))
    return random.choice([("two-locus-arg", "--n", random.randint(3, 7)), ("rabbits", "--n", random.randint(5, 40)),
                          ("jsfs", "--n1", random.randint(2, 4), "--n2", random.randint(2, 4)),
                          ("tandem", "--k1", random.randint(4, 40), "--k2", random.randint(4, 40))])


class Lane:
    """One job at a time. `soak` has cluster, random, counts (a Counter), wrong(), emptied: when Redis last lost
    anything, away: when a server was last down, and refused: when units last were."""

    def __init__(self, soak, number):
        self.soak = soak
        self.folder = soak.cluster.run / f"lane-{number}"
        self.folder.mkdir()
        self.earlier = []
        self.results = {}
        self.program = None
        self.is_over = False
        self.next_job()

    def next_job(self):
        random = self.soak.random
        if self.earlier and random.random() < 0.3:
            self.words = random.choice(self.earlier)
        else:
            self.words = draw(random)
            self.earlier.append(self.words)
        self.path = self.folder / f"{'-'.join(map(str, self.words))}.msgpack"
        if not self.path.exists():
            self.soak.cluster.ok("generate", *self.words, "--output", self.path)
        self.asked = ["--theta", THETA[self.words[0]], "--moments", 2]
        # always the same for a graph: a job submitted with another effort meanwhile has other traces, and other bits
        self.effort = ["--effort", ["balanced", "best"][zlib.crc32(repr(self.words).encode()) % 2]]
        self.begin(random.choice([self.submit, self.submit, self.run_all]))

    def begin(self, step):
        self.step, self.began = step, time.monotonic()
        step()

    def start(self, *args):
        self.program = self.soak.cluster.start(*args, XDG_CACHE_HOME=str(self.folder / "cache"))

    def submit(self):
        self.submitted = time.monotonic()
        self.start("submit", self.path, *self.effort)

    def collect(self):
        where = self.soak.random.choice(["local", "local", "cluster"])
        self.start("collect", self.job, *self.asked, "--evaluate", where, "--timeout", HANGS)

    def run_all(self):
        self.submitted = time.monotonic()
        self.start("run", self.path, "--strategy", "cluster", *self.effort, *self.asked, "--timeout", HANGS)

    def reference(self):
        self.start("run", self.path, "--strategy", "sequential", "--no-cache", *self.effort, *self.asked)

    def kill(self):
        """SIGKILL of what runs, which then begins anew. False when nothing of the cluster runs."""
        if self.program is None or self.step == self.reference:
            return False
        self.program.kill()
        self.begin(self.step)
        return True

    def poll(self):
        """Goes on where the program has ended."""
        if self.program is None:
            return
        if self.program.running():
            if time.monotonic() - self.began > HANGS + 30:
                self.program.kill()
                self.soak.wrong("jobs that hang", self.tell("hangs"))
                self.rest()
            return
        code, step = self.program.process.returncode, self.step
        if code != 0:
            self.failed(code)
        elif step == self.submit:
            self.job = self.program.out.strip()
            self.go_on(self.collect)
        elif step == self.reference:
            self.results[self.key()] = trials.result(self.program.out)
            self.go_on(self.compare)
        else:
            self.found = trials.result(self.program.out)
            self.go_on(self.compare if self.key() in self.results else self.reference)

    def go_on(self, step):
        shutil.rmtree(self.program.folder, ignore_errors=True)
        self.program = None
        self.begin(step)

    def key(self):
        return self.words, tuple(self.effort), tuple(self.asked)

    def compare(self):
        self.soak.counts["jobs"] += 1
        if self.found != self.results[self.key()]:
            self.soak.wrong("results that differ", f"{self.words}: {self.found}, not {self.results[self.key()]}")
        self.rest()

    def failed(self, code):
        """A collector that finds nothing of its job in a Redis that was emptied says so, a program that begins while no
        broker answers gives up in seconds, and one whose units are refused gives up; all else is wrong."""
        if code == 69 and self.soak.away >= self.began and "answered" in self.program.log:
            self.soak.counts["began again"] += 1
            self.begin(self.step)
            return
        if code == 78 and self.soak.refused >= self.began and "timestamp" in self.program.log:
            self.soak.counts["refused"] += 1
            self.begin(self.step)
            return
        forgotten = self.soak.emptied > self.submitted and "submit" in self.program.log
        if self.step == self.collect and code == 66 and forgotten:
            self.soak.counts["submitted again"] += 1
            self.go_on(self.submit)
            return
        self.soak.wrong("jobs that failed", self.tell(f"ended with {code}"))
        self.rest()

    def tell(self, what):
        return f"{' '.join(map(str, self.program.process.args))} {what}:\n{self.program.log[-3000:]}"

    def rest(self):
        self.program = None
        if self.soak.is_ending:
            self.is_over = True
        else:
            self.next_job()
