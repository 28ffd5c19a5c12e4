"""Apache Kafka: fetched once, configured from kafka/server.properties.in, its folders formatted."""
import base64
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import uuid

HERE = pathlib.Path(__file__).resolve().parents[1]
POM = HERE / "kafka" / "pom.xml"
PROPERTIES = HERE / "kafka" / "server.properties.in"
HEAP = ["-Xms64m", "-Xmx384m"]
# The rest keeps a short-lived broker small, quick to start, and its files in its own folder.
JVM = [*HEAP, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Djava.net.preferIPv4Stack=true",
       "-Djava.awt.headless=true", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
       "-Dorg.slf4j.simpleLogger.showDateTime=true"]


def version():
    return re.search(r"<version>([^<]+)</version>", POM.read_text())[1]


def libraries():
    """The folder of jars, fetched from Maven Central when it is not there yet. Its name tells the pom it is of."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    cache = pathlib.Path(os.environ.get("PHASEMILL_TEST_CACHE") or pathlib.Path(home) / "phasemill-tests")
    pom = hashlib.sha256(POM.read_bytes()).hexdigest()[:8]
    folder = cache / f"kafka-{version()}-{pom}"
    if not folder.is_dir():
        _fetch(folder)
    return folder


def _fetch(folder):
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=folder.parent) as beside:
        command = ["mvn", "-q", "-B", "-C", "-f", POM, f"-Dmaven.repo.local={beside}/repository",
                   f"-DoutputDirectory={beside}/jars", "dependency:copy-dependencies"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            text = done.stdout.decode(errors="replace")
            raise RuntimeError(f"could not fetch Apache Kafka {version()} from Maven Central:\n{text}")
        try:
            os.rename(f"{beside}/jars", folder)
        except OSError:  # another `up` was faster
            if not folder.is_dir():
                raise


def java(main, *arguments, folder, options=()):
    """The command line of one of Kafka's programs, at work in a folder."""
    return ["java", *JVM, f"-Djava.io.tmpdir={folder}/tmp", *options, "-cp", f"{libraries()}/*", main, *arguments]


def values(settings, node):
    """What stands for the @NAMES@ in the properties of broker `node` (from 1)."""
    host, count = settings["host"], len(settings["brokers"])
    ports = settings["brokers"][node - 1]
    return {
        "NODE": node,
        "VOTERS": ",".join(f"{n}@{host}:{p['controller']}" for n, p in enumerate(settings["brokers"], 1)),
        "LISTENERS": ",".join(f"{name.upper()}://{host}:{port}" for name, port in ports.items()),
        "ADVERTISED": ",".join(f"{n.upper()}://{host}:{p}" for n, p in ports.items() if n != "controller"),
        "CLIENT_PROTOCOL": "SASL_PLAINTEXT" if settings["sasl"] else "PLAINTEXT",
        "REPLICATION": count,
        "MIN_INSYNC": 2 if count > 1 else 1,
    }


def properties(replacements):
    """The settings of a broker as text."""
    text = PROPERTIES.read_text()
    for name, value in replacements.items():
        text = text.replace(f"@{name}@", str(value))
    left = re.findall(r"^[^#\n]*@[A-Z_]+@", text, re.M)
    if left:
        raise RuntimeError(f"{PROPERTIES} names what nothing fills in: {left}")
    return text


# Beside the one user who may do everything: has the same password, and the rights that a test gives it.
CLERK = "clerk"


def _sasl(user, password):
    quoted = password.replace("\\", "\\\\").replace('"', '\\"')
    module = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    jaas = f'{module} user_{user}="{quoted}" user_{CLERK}="{quoted}";'.replace("\\", "\\\\")
    return ("\nsasl.enabled.mechanisms=PLAIN\nlistener.name.client.sasl.enabled.mechanisms=PLAIN\n"
            f"listener.name.client.plain.sasl.jaas.config={jaas}\n"
            "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n"
            f"super.users=User:ANONYMOUS;User:{user}\n")


def configure(folder, settings, node):
    """Writes the folder of broker `node` anew, empty of data."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    text = properties({**values(settings, node), "LOG_DIRS": folder / "data"})
    if settings["sasl"]:
        text += _sasl(*settings["sasl"])
    file = folder / "server.properties"
    file.touch(mode=0o600)
    file.write_text(text)


def format_all(folders):
    """Formats the folders of a new cluster's brokers, all at a time."""
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    running = []
    for folder in folders:
        command = java("kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c",
                       str(folder / "server.properties"), folder=folder)
        log = open(folder / "format.log", "wb")
        running.append((folder, subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                 start_new_session=True)))
        log.close()
    failed = [folder for folder, process in running if process.wait() != 0]
    if failed:
        raise RuntimeError(f"could not format {failed[0]}: {(failed[0] / 'format.log').read_text()}")


def command(folder):
    return java("kafka.Kafka", str(folder / "server.properties"), folder=folder)
