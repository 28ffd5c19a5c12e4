"""Redis: configured from redis.conf, with address, folder, password and options of one's own."""
import pathlib
import shlex

SHARED = pathlib.Path(__file__).resolve().parents[1] / "redis.conf"


def directives(text):
    """[[name, argument, ...], ...] of a configuration file."""
    lines = (line.strip() for line in text.splitlines())
    return [shlex.split(line) for line in lines if line and not line.startswith("#")]


def options(text):
    """[[name, argument, ...], ...] of options as redis-server takes them: --name argument ... --name ..."""
    found = []
    for word in shlex.split(text):
        if word.startswith("--"):
            found.append([word[2:]])
        elif found:
            found[-1].append(word)
        else:
            raise ValueError(f'Redis options begin with "--", not with "{word}"')
    return found


def configured(settings):
    """[[name, value], ...] that CONFIG SET takes back to what the servers of these settings started with."""
    chosen = {w[0]: w[1:] for w in [*directives(SHARED.read_text()), *options(settings["redis_options"])]}
    return [[name, " ".join(values)] for name, values in chosen.items() if name not in ("user", "rename-command")]


def _line(words):
    quoted = (w.replace("\\", "\\\\").replace('"', '\\"') for w in words[1:])
    return " ".join([words[0], *(f'"{w}"' for w in quoted)])


def configure(folder, settings):
    """Writes the folder and the configuration; in a file, so that no secret is in an argument. The data stays."""
    folder.mkdir(parents=True, exist_ok=True)
    password = pathlib.Path(settings["password_file"]).read_text().rstrip("\n")
    own = [["bind", settings["host"]], ["port", str(settings["redis"])], ["dir", str(folder)], ["daemonize", "no"],
           ["requirepass", password]]
    file = folder / "redis.conf"
    file.touch(mode=0o600)
    chosen = [*directives(SHARED.read_text()), *own, *options(settings["redis_options"])]
    file.write_text("".join(_line(words) + "\n" for words in chosen))


def command(folder):
    return ["redis-server", str(folder / "redis.conf")]
