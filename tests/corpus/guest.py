"""A running corpus image: what its probes say, and patches that come and go."""
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "qemu"))
from harness import DONE, LIMIT, TIMED_OUT, Failed, Guest  # noqa: E402  pylint: disable=wrong-import-position

PROBE = re.compile(r"^probe (\w+) (-?\d+) ?$", re.M)
MARK = r"rounds \d+ ?\n"


class CorpusGuest(Guest):
    def __init__(self, image, *arguments, qemu=()):
        super().__init__(str(image), "--smp", "2", *arguments, qemu=qemu)
        self.table = {}
        self.taken = 0

    def settle(self):
        """Waits for a round that began from now on; returns what the console showed meanwhile."""
        self.skip_console()
        begin = self.seen
        self.expect(MARK)  # this round may have begun before
        self.expect(MARK)
        self.take_probes()
        return self.console[begin:self.seen]

    def take_probes(self):
        end = self.console.rfind("\n") + 1
        self.table.update(PROBE.findall(self.console[self.taken:end]))
        self.taken = end

    def wait_for_start(self):
        self.expect(MARK)
        self.settle()

    def texts(self, case, console):
        return [self.graft(*texts.arguments).output if texts.arguments else console for texts in case.texts]

    def lingers(self, name, looks=20):
        """True when the patch is still there after a number of looks: what points into it is searched for beside
        everything else, and what only points for a moment is no reason to stay."""
        for _ in range(looks):
            if name not in self.graft("ls", "/lingering").output.split():
                return False
            self.settle()
            self.graft("write", f"/lingering/{name}", "1", code=None)  # it may have gone meanwhile
        return True


__all__ = ["DONE", "LIMIT", "TIMED_OUT", "CorpusGuest", "Failed"]
