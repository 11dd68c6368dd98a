"""Sources: found on disk in order, or downloaded from a real HTTP server on this machine, and always verified."""

import contextlib
import errno
import fcntl
import hashlib
import io
import multiprocessing
import os
import random
import re
import subprocess
import sys
import threading
import time
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from course_lib.data.datasets import WIKITEXT
from course_lib.errors import CourseError
from course_lib.sources import SOURCES, Source, digest_of, download, find_source, sha256_of

CONTENT = random.Random(0).randbytes(200_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves one file as `Server` is told to: in pieces, without Range, cut off, held up, or not at all."""

    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.ranges.append(wanted)
        if server.status != 200:
            return self.send_error(server.status)
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and server.knows_range else 0
        if start and start >= len(server.content):
            return self.send_error(416)
        body = server.content[start:]
        self.send_response(206 if wanted and server.knows_range else 200)
        if server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else None
        server.sent += len(body[:cut])  # before the client can have it all
        if server.chunked:
            self.wfile.write(
                b"%x\r\n%b\r\n" % (len(body), body) if cut is None else b"%x\r\n%b" % (len(body), body[:cut])
            )
            self.wfile.write(b"0\r\n\r\n" if cut is None else b"")
        else:
            self.wfile.write(body[:100_000][:cut])
            server.go_on.wait()
            self.wfile.write(body[100_000:cut])

    def log_message(self, *args):
        pass


class Server(ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.status = CONTENT, 200
        self.knows_range, self.chunked = True, False
        self.cuts = []  # after how many bytes to close the connection, request by request
        self.ranges, self.sent = [], 0  # what was asked for, how many bytes went out
        self.go_on = threading.Event()  # while it is not set, an answer stops after 100,000 bytes
        self.go_on.set()


@pytest.fixture
def server(project, monkeypatch):
    monkeypatch.setenv("COURSE_OFFLINE", "0")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("COURSE_DATA", raising=False)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.go_on.set()
        server.shutdown()
        thread.join()


def source_of(server, sha256=SHA256):
    return Source("file.bin", f"http://127.0.0.1:{server.server_port}/file.bin", sha256, "a test")


@pytest.fixture
def here(project):
    return project / "data" / "thing" / "file.bin"


@pytest.fixture
def part(here):
    return here.with_name("file.bin.part")


# Downloading ----------------------------------------------------------------------------------------------


def test_a_download_lands_in_data_and_is_not_repeated(server, here, part):
    source = source_of(server)
    assert find_source("thing", source) == here
    assert here.read_bytes() == CONTENT
    assert find_source("thing", source) == here
    assert server.ranges == [None]
    assert list(here.parent.iterdir()) == [here]


def test_a_download_that_is_cut_off_is_resumed_where_it_stopped(server, here):
    server.cuts = [70_000, 100_000]
    find_source("thing", source_of(server))
    assert here.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=70000-", "bytes=170000-"]
    assert server.sent == len(CONTENT)  # no byte came twice


def test_after_three_cuts_it_gives_up_and_the_next_call_goes_on(server, here, part):
    server.cuts = [60, 0, 0]  # the last two bring nothing
    with pytest.raises(CourseError) as caught:
        find_source("thing", source_of(server))
    assert "cut off after 60 of 200000 bytes" in str(caught.value)
    assert not here.exists()
    assert part.read_bytes() == CONTENT[:60]
    find_source("thing", source_of(server))
    assert server.ranges[3:] == ["bytes=60-"]
    assert here.read_bytes() == CONTENT
    assert not part.exists()


def test_a_line_that_is_often_cut_off_gets_there_as_long_as_something_comes(server, here):
    server.cuts = [10, 20, 30, 40, 50]
    find_source("thing", source_of(server))
    assert server.ranges == [None, "bytes=10-", "bytes=30-", "bytes=60-", "bytes=100-", "bytes=150-"]
    assert here.read_bytes() == CONTENT


def test_a_server_that_cannot_resume_sends_the_whole_again(server, here):
    server.knows_range, server.cuts = False, [150_000]
    find_source("thing", source_of(server))
    assert server.ranges == [None, "bytes=150000-"]
    assert here.read_bytes() == CONTENT


def test_what_has_another_sha256_is_deleted(server, here, part):
    server.content = CONTENT[:-1] + b"?"
    with pytest.raises(CourseError) as caught:
        find_source("thing", source_of(server))
    assert SHA256 in str(caught.value)
    assert hashlib.sha256(server.content).hexdigest() in str(caught.value)
    assert "is deleted; try again" in str(caught.value)
    assert not part.exists()
    assert not here.exists()
    server.content = CONTENT
    assert find_source("thing", source_of(server)).read_bytes() == CONTENT


def test_a_part_that_is_complete_is_put_in_place(server, here, part):
    """The process was killed between the last byte and the rename: there is nothing left to send (416)."""
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT)
    find_source("thing", source_of(server))
    assert here.read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT)}-"]
    assert server.sent == 0
    assert not part.exists()


@pytest.mark.parametrize("stale", [b"another file's beginning", b"x" * 300_000], ids=["shorter", "longer"])
def test_a_part_of_another_file_costs_one_try(server, here, part, stale):
    part.parent.mkdir(parents=True)
    part.write_bytes(stale)
    with pytest.raises(CourseError, match="is deleted; try again"):
        find_source("thing", source_of(server))
    assert not part.exists()
    assert not here.exists()
    assert find_source("thing", source_of(server)).read_bytes() == CONTENT


def test_without_a_sha256_an_old_part_is_not_believed(server, here, part):
    """Nothing could tell the end of a newer edition from the end of the one that was begun."""
    part.parent.mkdir(parents=True)
    part.write_bytes(b"an older edition")
    find_source("thing", source_of(server, sha256=None))
    assert here.read_bytes() == CONTENT
    assert server.ranges == [None]


@pytest.mark.parametrize("cuts", [[], [1000], [1000, 1000, 1000]])
def test_an_answer_of_unknown_length_that_breaks_off(server, here, cuts):
    """In chunks, Python reports a cut as an HTTPException, which is no OSError."""
    server.chunked, server.cuts = True, list(cuts)
    if len(cuts) < 3:
        assert find_source("thing", source_of(server)).read_bytes() == CONTENT
    else:
        with pytest.raises(CourseError, match=r"downloading it failed \(IncompleteRead"):
            find_source("thing", source_of(server))
        assert not here.exists()


@pytest.mark.parametrize("status", [404, 416, 500])
def test_a_server_that_refuses(server, here, status):
    server.status = status
    with pytest.raises(CourseError) as caught:
        find_source("thing", source_of(server))
    message = str(caught.value)
    assert f"HTTP Error {status}" in message
    # What was tried, and the two ways to provide it
    assert str(here) in message
    assert f"download http://127.0.0.1:{server.server_port}/file.bin on a machine with a network" in message
    assert "or set COURSE_DATA to a folder that holds thing/file.bin" in message
    assert server.ranges == [None, None, None]


def test_no_server_at_all(server, here):
    source = source_of(server)
    server.shutdown()
    server.server_close()
    with pytest.raises(CourseError, match=r"downloading it failed .*refused"):
        find_source("thing", source)


def test_a_folder_that_cannot_be_made(server, project):
    (project / "data").write_text("a file where the folder should be")
    with pytest.raises(CourseError, match=r"downloading it failed .*(exists|directory)"):
        find_source("thing", source_of(server))
    assert server.ranges == []


# Several programs at once ---------------------------------------------------------------------------------


def wait_until(condition, what):
    """The limit is for a test that hangs; nothing is measured."""
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(f"waited in vain until {what}")


@contextlib.contextmanager
def threads(server, here, count, source=None):
    """``count`` threads that download one source; yields the errors they end with. The server goes on at the end."""
    errors = []

    def fetch():
        try:
            find_source("thing", source or source_of(server))
        except CourseError as error:
            errors.append(str(error))

    started = [threading.Thread(target=fetch) for _ in range(count)]
    try:
        for thread in started:
            thread.start()
        yield errors
    finally:
        server.go_on.set()
        for thread in started:
            thread.join()


def test_of_two_that_download_at_once_one_does_and_the_other_is_told_to_wait(server, here, capsys):
    server.go_on.clear()
    with threads(server, here, 2) as errors:
        told = []

        def waits_or_asks():
            told.append(capsys.readouterr().err)
            return server.ranges and ("another program" in "".join(told) or len(server.ranges) == 2)

        wait_until(waits_or_asks, "the first one asks the server, and the second one waits or asks it too")
        assert server.ranges == [None]
    assert "".join(told).count(f"Waiting: another program is downloading {here}.\n") == 1
    assert errors == []
    assert server.ranges == [None]  # the second one found what the first had brought
    assert server.sent == len(CONTENT)
    assert here.read_bytes() == CONTENT
    assert list(here.parent.iterdir()) == [here]


def test_many_that_download_at_once_take_turns_and_one_is_enough(server, here):
    server.cuts = [0, 0, 0]  # the first one gives up, and another takes its place
    with threads(server, here, 8) as errors:
        pass
    assert len(errors) == 1
    assert "cut off after 0 of 200000 bytes" in errors[0]
    assert server.ranges == [None] * 4
    assert here.read_bytes() == CONTENT
    assert list(here.parent.iterdir()) == [here]


def test_one_who_comes_late_goes_on_where_the_first_gave_up(server, here):
    server.cuts = [70_000, 0, 0, 0]  # the first one's three, and one of the other's
    server.go_on.clear()
    with threads(server, here, 2) as errors:
        wait_until(lambda: server.ranges, "the first one asks")
    assert len(errors) == 1
    assert "cut off after 70000 of 200000 bytes" in errors[0]
    assert server.ranges == [None] + ["bytes=70000-"] * 4
    assert server.sent == len(CONTENT)  # no byte came twice
    assert here.read_bytes() == CONTENT


def test_what_comes_while_one_waits_is_verified(server, here):
    """A text of which a teacher has the sha256, beside a program of last year, which has none."""
    server.content, server.cuts = CONTENT[:-1] + b"?", []
    server.go_on.clear()
    with threads(server, here, 1, source_of(server, sha256=None)) as careless:
        wait_until(lambda: server.ranges, "the first one asks")
        with threads(server, here, 1) as careful:
            pass
    assert careless == []
    assert len(careful) == 1
    assert f"{here} should have the sha256 {SHA256}" in careful[0]
    assert "Delete it" in careful[0]
    assert server.ranges == [None]


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK], ids=errno.errorcode.get)
def test_without_locks_each_gathers_in_a_file_of_its_own(server, here, monkeypatch, number):
    def refuse(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    server.go_on.clear()
    with threads(server, here, 2) as errors:
        wait_until(lambda: len(server.ranges) == 2, "both ask the server")
        wait_until(lambda: len(list(here.parent.glob("*.part"))) == 2, "both have a file")
    assert errors == []
    assert server.ranges == [None, None]
    assert here.read_bytes() == CONTENT
    assert list(here.parent.iterdir()) == [here]


def test_without_locks_nothing_is_left_to_resume(server, here, monkeypatch):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    server.cuts = [60_000, 0, 0]
    with pytest.raises(CourseError, match="cut off after 60000 of 200000 bytes"):
        find_source("thing", source_of(server))
    assert server.ranges == [None] + ["bytes=60000-"] * 2  # within one call it is resumed
    assert list(here.parent.iterdir()) == []
    find_source("thing", source_of(server))
    assert server.ranges[3:] == [None]


def test_a_lock_that_fails_for_another_reason_is_told(server, here, monkeypatch):
    def fail(descriptor, operation):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(CourseError, match=r"downloading it failed .*Input/output error.*put it at"):
        find_source("thing", source_of(server))
    assert server.ranges == []


FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["course_lib.sources"])


def fetch_in_a_process(source, here, errors):
    """Runs in a process of its own; what it prints goes to the file ``errors``."""
    os.dup2(os.open(errors, os.O_WRONLY | os.O_CREAT), 2)
    download(source, here)


@pytest.fixture
def processes(server, here, tmp_path):
    """Starts processes that download one source; ``processes(n)`` gives the process and the file of its errors."""
    started = []

    def start(number):
        errors = tmp_path / f"errors{number}"
        process = FORKSERVER.Process(target=fetch_in_a_process, args=(source_of(server), here, errors))
        process.start()
        started.append(process)
        return process, errors

    yield start
    server.go_on.set()
    for process in started:
        process.kill()
        process.join()


def waits(errors, here):
    return errors.exists() and f"Waiting: another program is downloading {here}.\n" in errors.read_text()


def test_two_processes_fetch_a_source_once(server, here, processes):
    server.go_on.clear()
    first, _ = processes(1)
    wait_until(lambda: server.ranges, "the first one asks")
    second, told = processes(2)
    wait_until(lambda: waits(told, here) or len(server.ranges) == 2, "the second one waits, or asks the server")
    assert server.ranges == [None]
    server.go_on.set()
    for process in (first, second):
        process.join()
        assert process.exitcode == 0
    assert server.ranges == [None]
    assert here.read_bytes() == CONTENT
    assert list(here.parent.iterdir()) == [here]


def test_one_who_waits_for_a_process_that_is_killed_goes_on_from_there(server, here, part, processes):
    server.go_on.clear()
    first, _ = processes(1)
    wait_until(lambda: part.exists() and part.stat().st_size, "the first one has begun")
    second, told = processes(2)
    wait_until(lambda: waits(told, here) or len(server.ranges) == 2, "the second one waits, or asks the server")
    assert server.ranges == [None]
    first.kill()
    first.join()
    had = part.stat().st_size
    wait_until(lambda: len(server.ranges) == 2, "the second one goes on")
    server.go_on.set()
    second.join()
    assert second.exitcode == 0
    assert server.ranges == [None, f"bytes={had}-"]
    assert here.read_bytes() == CONTENT
    assert list(here.parent.iterdir()) == [here]


# The order of looking -------------------------------------------------------------------------------------


@pytest.fixture
def mirror(server, tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("mirror")
    monkeypatch.setenv("COURSE_DATA", str(folder))
    (folder / "thing").mkdir()
    return folder / "thing" / "file.bin"


def test_data_comes_first_then_the_mirror_then_the_network(server, here, mirror):
    source = source_of(server)
    mirror.write_bytes(CONTENT)
    assert find_source("thing", source) == mirror
    here.parent.mkdir(parents=True)
    here.write_bytes(CONTENT)
    assert find_source("thing", source) == here
    assert server.ranges == []
    here.unlink()
    mirror.unlink()
    assert find_source("thing", source) == here
    assert server.ranges == [None]


@pytest.mark.parametrize("place", ["here", "mirror"])
def test_a_wrong_file_on_disk_is_named_and_left_alone(server, here, mirror, place):
    path = {"here": here, "mirror": mirror}[place]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"something else")
    with pytest.raises(CourseError) as caught:
        find_source("thing", source_of(server))
    assert f"{path} should have the sha256 {SHA256}" in str(caught.value)
    assert "Delete it" in str(caught.value)
    assert path.read_bytes() == b"something else"
    assert server.ranges == []


def test_without_a_sha256_a_file_on_disk_is_taken_as_it_is(server, here):
    here.parent.mkdir(parents=True)
    here.write_bytes(b"any edition")
    assert find_source("thing", source_of(server, sha256=None)) == here


def test_offline_there_is_no_request_and_one_clear_message(server, here, mirror, monkeypatch):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    with pytest.raises(CourseError) as caught:
        find_source("thing", source_of(server))
    message = str(caught.value)
    assert message.startswith(f"thing is not at {here} and {mirror}, and COURSE_OFFLINE=1 forbids a download.")
    assert "Either download http://" in message
    assert "or set COURSE_DATA to a folder that holds thing/file.bin" in message
    assert "dataset 'tinytales' needs no download" in message
    assert server.ranges == []
    assert not here.parent.exists()


def test_offline_what_is_on_disk_is_found(server, mirror, monkeypatch):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    mirror.write_bytes(CONTENT)
    assert find_source("thing", source_of(server)) == mirror


def test_an_unknown_source_is_told_the_nearest(project):
    with pytest.raises(CourseError, match="There is no source 'tinyshakespear': did you mean 'tinyshakespeare'"):
        find_source("tinyshakespear")


# Archives -------------------------------------------------------------------------------------------------


def zipped(content=CONTENT, name="file.bin", **more):
    """A zip with one file in it."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, **more) as archive:
        archive.writestr(name, content)
    return made.getvalue()


ZIPPED = zipped()
SHA1 = hashlib.sha1(CONTENT).hexdigest()


@pytest.fixture
def packed(server):
    """A source that comes in a zip, and of which only a sha1 is known."""
    server.content = ZIPPED
    return replace(source_of(server, sha256=None), sha1=SHA1, archive="file.zip")


@pytest.fixture
def archive(here):
    """Where a zip lies that somebody put there."""
    here.parent.mkdir(parents=True)
    return here.with_name("file.zip")


def test_an_archive_is_unpacked_and_only_the_file_stays(server, here, packed):
    assert find_source("thing", packed) == here
    assert here.read_bytes() == CONTENT
    assert find_source("thing", packed) == here
    assert server.ranges == [None]
    assert list(here.parent.iterdir()) == [here]


def test_an_archive_that_is_cut_off_is_resumed(server, here, packed):
    server.cuts = [70_000, 100_000]
    find_source("thing", packed)
    assert here.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=70000-", "bytes=170000-"]
    assert server.sent == len(ZIPPED)  # no byte came twice


def test_an_archive_that_is_cut_off_for_good_is_gone_on_with_by_the_next_call(server, here, part, packed):
    server.cuts = [60, 0, 0]
    with pytest.raises(CourseError, match="cut off after 60 of") as caught:
        find_source("thing", packed)
    assert f"and put it at {here.with_name('file.zip')}, or set COURSE_DATA" in str(caught.value)
    assert [path for path in here.parent.iterdir() if path.suffix != ".lock"] == [part]
    find_source("thing", packed)
    assert server.ranges[3:] == ["bytes=60-"]
    assert list(here.parent.iterdir()) == [here]


WRONG = {
    "a byte in the middle is another": (
        ZIPPED[:90_000] + bytes([ZIPPED[90_000] ^ 1]) + ZIPPED[90_001:],
        "should be a zip",
    ),
    "the end is missing": (ZIPPED[:-30], "should be a zip"),
    "the beginning is missing": (ZIPPED[30:], "should be a zip"),
    "a page that says no": (b"<html>Try later</html>", "should be a zip"),
    "empty": (b"", "should be a zip"),
    "another file in it": (zipped(name="other.bin"), "should be a zip that holds file.bin"),
    "another content": (
        zipped(CONTENT[:-1] + b"?"),
        f"file.bin in .* should have the sha1 {SHA1}; it has [0-9a-f]{{40}}",
    ),
}


@pytest.mark.parametrize(("content", "complaint"), WRONG.values(), ids=WRONG)
def test_a_wrong_archive_is_deleted_when_it_came_and_left_when_somebody_put_it_there(
    server, here, archive, packed, content, complaint
):
    server.content = content
    with pytest.raises(CourseError, match=rf"{complaint}.* What was downloaded is deleted; try again"):
        find_source("thing", packed)
    assert not [path for path in here.parent.iterdir() if path.suffix != ".lock"]
    asked = len(server.ranges)
    archive.write_bytes(content)
    with pytest.raises(CourseError, match=rf"{complaint}.* Delete {archive}, so that it is fetched afresh"):
        find_source("thing", packed)
    assert archive.read_bytes() == content
    assert not [path for path in here.parent.iterdir() if path.suffix != ".lock" and path != archive]
    assert len(server.ranges) == asked
    archive.unlink()
    server.content = ZIPPED
    assert find_source("thing", packed).read_bytes() == CONTENT
    assert list(here.parent.iterdir()) == [here]


def test_whatever_is_wrong_with_an_archive_is_a_sentence(server, here, archive, packed):
    """Bytes changed anywhere, most of all in what zipfile reads its numbers from."""
    content = CONTENT[:2000]
    packed = replace(packed, sha1=hashlib.sha1(content).hexdigest())
    whole, chance = zipped(content), random.Random(0)
    for _ in range(400):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            place = chance.choice([chance.randrange(len(whole)), chance.randrange(40), -1 - chance.randrange(100)])
            damaged[place] = chance.randrange(256)
        archive.write_bytes(damaged)
        with contextlib.suppress(CourseError):
            assert find_source("thing", packed).read_bytes() == content
            here.unlink()
        assert not here.exists()
        assert not [path for path in here.parent.iterdir() if path.suffix not in (".lock", ".zip")]
    assert server.ranges == []


@pytest.mark.parametrize("place", ["here", "mirror"])
def test_an_archive_that_is_there_is_unpacked_into_data_without_a_network(
    server, here, mirror, packed, monkeypatch, place
):
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    archive = {"here": here, "mirror": mirror}[place].with_name("file.zip")
    archive.parent.mkdir(parents=True, exist_ok=True)
    archive.write_bytes(ZIPPED)
    assert find_source("thing", packed) == here
    assert here.read_bytes() == CONTENT
    assert archive.read_bytes() == ZIPPED
    assert {*here.parent.iterdir(), *mirror.parent.iterdir()} == {here, archive}
    assert server.ranges == []


def test_a_file_that_is_unpacked_comes_before_every_archive(server, here, mirror, archive, packed):
    archive.write_bytes(b"not looked at")
    mirror.write_bytes(CONTENT)
    assert find_source("thing", packed) == mirror
    mirror.write_bytes(b"another")
    with pytest.raises(CourseError, match=f"{mirror} should have the sha1 {SHA1}; it has .* Delete it"):
        find_source("thing", packed)


def test_one_who_was_killed_while_it_unpacked_costs_no_second_download(server, here, part, packed):
    part.parent.mkdir(parents=True)
    part.write_bytes(ZIPPED)
    here.with_name("file.bin.new").write_bytes(CONTENT * 2)
    find_source("thing", packed)
    assert here.read_bytes() == CONTENT
    assert server.sent == 0
    assert list(here.parent.iterdir()) == [here]


FULL = """
import resource, signal, sys
from course_lib.errors import CourseError
from course_lib.sources import Source, find_source
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))
try:
    find_source("thing", Source("file.bin", sys.argv[1], None, "", sha1=sys.argv[2], archive="file.zip"))
except CourseError as error:
    print(error)
"""


@pytest.mark.parametrize("has_come", [False, True], ids=["downloaded", "put there"])
def test_a_disk_that_is_full_half_way(server, here, part, archive, packed, has_come):
    """A real limit, in a process of its own: the zip fits and what is in it does not."""
    pytest.importorskip("resource")
    content = bytes(1_000_000)
    server.content = zipped(content)
    packed = replace(packed, sha1=hashlib.sha1(content).hexdigest())
    if has_come:
        archive.write_bytes(server.content)
    command = [sys.executable, "-c", FULL, packed.url, packed.sha1]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "File too large" in done.stdout
    assert ("Free some disk space" if has_come else "downloading it failed") in done.stdout
    kept = archive if has_come else part
    assert [path for path in here.parent.iterdir() if path.suffix != ".lock"] == [kept]
    assert kept.read_bytes() == server.content
    assert find_source("thing", packed).read_bytes() == content  # there is room again
    assert server.sent == (0 if has_come else len(server.content))  # and nothing came twice
    assert set(here.parent.iterdir()) == ({here, archive} if has_come else {here})


@pytest.mark.parametrize("has_come", [False, True], ids=["downloaded", "put there"])
def test_many_that_want_an_archive_at_once(server, here, archive, packed, has_come):
    if has_come:
        archive.write_bytes(ZIPPED)
    with threads(server, here, 8, packed) as errors:
        pass
    assert errors == []
    assert here.read_bytes() == CONTENT
    assert len(server.ranges) == (0 if has_come else 1)
    assert set(here.parent.iterdir()) == ({here, archive} if has_come else {here})


@pytest.mark.parametrize("has_come", [False, True], ids=["downloaded", "put there"])
def test_without_locks_many_unpack_and_nothing_is_left(server, here, archive, packed, monkeypatch, has_come):
    def refuse(descriptor, operation):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    if has_come:
        archive.write_bytes(ZIPPED)
    with threads(server, here, 4, packed) as errors:
        pass
    assert errors == []
    assert here.read_bytes() == CONTENT
    assert set(here.parent.iterdir()) == ({here, archive} if has_come else {here})


# What the course knows ------------------------------------------------------------------------------------


def test_the_bundled_sources_are_well_formed():
    for name, source in [*SOURCES.items(), *(("wikitext", source) for source in WIKITEXT)]:
        assert re.fullmatch(r"[a-z0-9_]+", name)
        assert source.url.startswith("https://")
        assert source.url.endswith(source.archive or source.file)
        assert source.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", source.sha256)
        assert source.sha1 is None or re.fullmatch(r"[0-9a-f]{40}", source.sha1)
        assert source.sha256 is None or source.sha1 is None  # one is looked at, the stronger one
        assert source.about
    assert SOURCES["tinyshakespeare"].sha256.startswith("86c4e6aa")


def test_digests_against_published_values(tmp_path):
    """FIPS 180-2, appendices A.1 and B.1."""
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_of(tmp_path / "a", "sha1") == "a9993e364706816aba3e25717850c26c9cd0d89d"


def test_the_page_of_enwik8_says_what_the_library_checks():
    page = (Path(__file__).parents[1] / "data" / "enwik8" / "README.md").read_text(encoding="utf-8")
    kind, value = SOURCES["enwik8"].digest
    assert f"| {kind} | {value}" in page
