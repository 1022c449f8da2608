"""The worker's process, played by small scripts: whatever it says or does, a run ends once and in words."""

import os
import signal
import sys
import unittest

from bench import makeFolder, played, playing, waitUntil

from EfficientSegBridge import exit_words, process_tree
from EfficientSegBridge.interpreter import Command
from EfficientSegBridge.line_assembler import LineAssembler
from EfficientSegBridge.worker_process import WorkerProcess
from EfficientSegLib.environment import is_running
from EfficientSegLib.protocol import Failed, Finished, Heartbeat, Progress, Request, Started


class WorkerCase(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = makeFolder()
        self.events: list[object] = []
        self.worker = None

    def tearDown(self) -> None:
        if self.worker is not None:
            self.worker.stop()

    def request(self) -> Request:
        return Request("input.nrrd", str(self.folder), "bundle", cancel_file=str(self.folder / "cancel"))

    def start(self, command: Command, **limits) -> WorkerProcess:
        self.worker = WorkerProcess(command, **limits)
        self.worker.start(self.request(), self.events.append)
        return self.worker

    def kinds(self) -> list[type]:
        return [type(event) for event in self.events]

    def waitForEnd(self, seconds: float = 20):
        self.assertTrue(waitUntil(lambda: not self.worker.busy, seconds), f"no end came: {self.worker.log}")
        ends = [event for event in self.events if isinstance(event, (Finished, Failed))]
        self.assertEqual(len(ends), 1)
        self.assertIs(self.events[-1], ends[0])
        return ends[0]


# What PythonSlicer does: it runs the real Python as a child, and when that is killed it says so and ends with 1.
LAUNCHER = """
import subprocess, sys
code = subprocess.call([sys.executable, *sys.argv[1:]])
if code < 0:
    sys.stderr.write("error: [/Slicer/bin/python-real] exit abnormally - Report the problem.\\n")
    sys.exit(1)
sys.exit(code)
"""


def launched(command: Command) -> Command:
    """The same worker behind a launcher."""
    return Command(command.program, ("-c", LAUNCHER, *command.arguments), command.environment, command.folder)


class TestTalk(WorkerCase):
    def test_events_come_in_order_and_end_once(self) -> None:
        self.start(
            playing(
                "def play(request):\n"
                "    for done in range(50):\n"
                "        say('Progress', stage='patches', fraction=done / 50, done=done, total=50)\n"
                "    finished(request, np.zeros((2, 2, 2), np.uint8))\n"
            )
        )
        self.assertIsInstance(self.waitForEnd(), Finished)
        self.assertIs(self.kinds()[0], Started)
        done = [event.done for event in self.events if isinstance(event, Progress)]
        self.assertEqual(done, list(range(50)))

    def test_the_process_stays_warm_for_the_next_request(self) -> None:
        worker = self.start(playing("def play(request):\n    finished(request, np.zeros((2, 2, 2), np.uint8))\n"))
        self.waitForEnd()
        first = self.events[0].pid
        self.events.clear()
        worker.start(self.request(), self.events.append)
        self.waitForEnd()
        self.assertEqual(self.events[0].pid, first)

    def test_two_requests_at_once_are_refused(self) -> None:
        worker = self.start(playing("def play(request):\n    time.sleep(60)\n"))
        with self.assertRaisesRegex(RuntimeError, "busy"):
            worker.start(self.request(), self.events.append)

    def test_garbage_is_log_and_no_event_is_lost(self) -> None:
        self.start(
            playing(
                "def play(request):\n"
                "    sys.stdout.buffer.write(b'\\xff\\xfe broken \\x80 bytes\\n@EfficientSeg {not json\\n')\n"
                '    sys.stdout.buffer.write(b\'@EfficientSeg {"event": "FromTheFuture"}\\n\')\n'
                "    sys.stdout.buffer.flush()\n"
                "    sys.stderr.write('Wärning of a library\\n')\n"
                "    sys.stderr.flush()\n"
                "    finished(request, np.zeros((2, 2, 2), np.uint8))\n"
            )
        )
        self.assertIsInstance(self.waitForEnd(), Finished)
        waitUntil(lambda: any("library" in line for line in self.worker.log), 2)
        log = "\n".join(self.worker.log)
        self.assertIn("broken", log)
        self.assertIn("no valid event", log)
        self.assertIn("Wärning of a library", log)

    def test_a_listener_that_fails_does_not_lose_the_end(self) -> None:
        def listen(event) -> None:
            self.events.append(event)
            if isinstance(event, Started):
                raise ValueError("a listener's mistake")

        self.worker = WorkerProcess(
            playing("def play(request):\n    finished(request, np.zeros((2, 2, 2), np.uint8))\n")
        )
        with self.assertLogs(level="ERROR"):
            self.worker.start(self.request(), listen)
            self.assertIsInstance(self.waitForEnd(), Finished)


class TestEnds(WorkerCase):
    def test_a_killed_worker_ran_out_of_memory(self) -> None:
        self.start(playing("def play(request):\n    os.kill(os.getpid(), 9)\n"))
        failed = self.waitForEnd()
        self.assertRegex(failed.what, "ran out of memory")
        self.assertRegex(failed.mend, "Effort")

    def test_an_ordinary_exit_tells_its_last_words(self) -> None:
        self.start(playing("def play(request):\n    print('cannot go on', flush=True)\n    sys.exit(3)\n"))
        failed = self.waitForEnd()
        self.assertRegex(failed.why, "Exit code 3.*cannot go on")

    def test_a_program_that_is_not_there_is_said(self) -> None:
        self.start(Command(str(self.folder / "no python here"), ("-m", "x"), dict(os.environ), str(self.folder)))
        failed = self.waitForEnd()
        self.assertRegex(failed.what, "no python here could not be started")

    def test_a_silent_worker_is_ended_with_its_children(self) -> None:
        self.start(
            playing(
                "def play(request):\n"
                "    import subprocess\n"
                "    child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
                "    say('Heartbeat', memory_mb=float(child.pid))\n"
                "    time.sleep(60)\n"
            ),
            silenceSeconds=2,
        )
        failed = self.waitForEnd(10)
        self.assertRegex(failed.what, "silent for 2 s")
        child = next(int(event.memory_mb) for event in self.events if isinstance(event, Heartbeat))
        self.assertTrue(waitUntil(lambda: not is_running(child), 3))
        self.assertFalse(is_running(self.events[0].pid))

    def test_a_heartbeat_is_enough_to_live(self) -> None:
        self.start(
            playing(
                "def play(request):\n"
                "    for _ in range(6):\n"
                "        time.sleep(0.6)\n"
                "        say('Heartbeat', memory_mb=1.0)\n"
                "    finished(request, np.zeros((2, 2, 2), np.uint8))\n"
            ),
            silenceSeconds=2,
        )
        self.assertIsInstance(self.waitForEnd(), Finished)

    def test_one_that_never_gets_ready_is_ended(self) -> None:
        self.start(played("time.sleep(60)"), startSeconds=1)
        self.assertRegex(self.waitForEnd(10).what, "did not start within 1 s")

    def test_after_a_crash_the_next_run_has_a_new_process(self) -> None:
        worker = self.start(
            playing(
                "def play(request):\n"
                "    flag = os.path.join(request['output_dir'], 'crashed')\n"
                "    if not os.path.exists(flag):\n"
                "        open(flag, 'w').close()\n"
                "        os.abort()\n"
                "    finished(request, np.zeros((2, 2, 2), np.uint8))\n"
            )
        )
        self.assertRegex(self.waitForEnd().what, "crashed")
        self.events.clear()
        worker.start(self.request(), self.events.append)
        self.assertIsInstance(self.waitForEnd(), Finished)


class TestLauncher(WorkerCase):
    def test_a_worker_killed_behind_it_is_said(self) -> None:
        self.start(
            launched(
                playing("def play(request):\n    say('Heartbeat', memory_mb=5324.8)\n    os.kill(os.getpid(), 9)\n")
            )
        )
        failed = self.waitForEnd()
        self.assertRegex(failed.what, "ran out of memory or crashed")
        self.assertIn("It held 5.2 GB.", failed.why)

    def test_stop_ends_the_worker_behind_it(self) -> None:
        worker = self.start(launched(playing("def play(request):\n    time.sleep(60)\n")))
        self.assertTrue(waitUntil(lambda: Started in self.kinds()))
        pids = worker.pids
        self.assertEqual(len(pids), 2)
        worker.stop()
        self.assertTrue(waitUntil(lambda: not any(map(is_running, pids)), 3))


class TestCancel(WorkerCase):
    def test_a_polite_worker_ends_by_itself_and_stays_warm(self) -> None:
        worker = self.start(
            playing(
                "def play(request):\n"
                "    say('Progress', stage='coarse', fraction=0.1)\n"
                "    while not stopped(request):\n"
                "        time.sleep(0.02)\n"
                "    finished(request, np.ones((2, 2, 2), np.uint8), complete=False, read=1)\n"
            )
        )
        waitUntil(lambda: Progress in self.kinds())
        worker.cancel()
        self.assertFalse(self.waitForEnd(5).complete)
        self.assertTrue(worker.running)

    def test_a_stubborn_one_is_ended_after_the_grace_time(self) -> None:
        worker = self.start(playing("def play(request):\n    time.sleep(60)\n"), graceSeconds=1)
        waitUntil(lambda: Started in self.kinds())
        pid = self.events[0].pid
        worker.cancel()
        self.assertRegex(self.waitForEnd(10).what, "stopped")
        self.assertTrue(waitUntil(lambda: not is_running(pid), 3))

    def test_stop_leaves_no_process(self) -> None:
        worker = self.start(playing("def play(request):\n    time.sleep(60)\n"))
        waitUntil(lambda: Started in self.kinds())
        pid = self.events[0].pid
        worker.stop()
        self.assertTrue(waitUntil(lambda: not is_running(pid), 3))
        self.assertEqual([event for event in self.events if isinstance(event, (Finished, Failed))], [])

    @unittest.skipIf(os.name == "nt", "Windows ends a tree by taskkill, which the cases above use there.")
    def test_grandchildren_are_found(self) -> None:
        import subprocess

        sleep = "import time; time.sleep(60)"
        script = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {sleep!r}])"
        root = subprocess.Popen(
            [sys.executable, "-c", f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {script!r}])"]
        )
        try:
            self.assertTrue(waitUntil(lambda: len(process_tree.descendants(root.pid)) == 2, 10))
            family = process_tree.descendants(root.pid)
            process_tree.endTree(root.pid)
            self.assertEqual(root.wait(5), -signal.SIGKILL)
            self.assertTrue(waitUntil(lambda: not any(map(is_running, family)), 5))
        finally:
            root.kill()


class TestWords(unittest.TestCase):
    def test_the_systems_codes_for_memory(self) -> None:
        for code in (137, -9, 0xC0000017, -1073741801, 0xC0000005, -1073741819):
            self.assertRegex(exit_words.ended(code, False, []).what, "memory")
        self.assertRegex(
            exit_words.ended(1, False, ["RuntimeError: DefaultCPUAllocator: not enough memory"]).what, "memory"
        )

    def test_a_segmentation_fault_is_a_crash(self) -> None:
        for code in (139, -11, 134):
            self.assertRegex(exit_words.ended(code, True, []).what, "crashed")

    def test_lines_are_joined_from_any_pieces(self) -> None:
        text = "erste Zeile\r\nΩé zweite\n\nRest"
        for size in (1, 2, 3, 100):
            assembler, found, data = LineAssembler(), [], text.encode()
            for at in range(0, len(data), size):
                found += assembler.add(data[at : at + size])
            self.assertEqual(found, ["erste Zeile", "Ωé zweite", ""])
            self.assertEqual(assembler.rest(), ["Rest"])


if __name__ == "__main__":
    unittest.main()
