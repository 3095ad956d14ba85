#!/usr/bin/env python3
"""The control tree is as docs/reference/control-tree.md says: which files there are, and which can be read and written."""
import re

from harness import BUILD, REFUSED, ROOT, Guest, Tests, check

PAGE = (ROOT / "docs/reference/control-tree.md").read_text(encoding="utf-8")
PATCH = str(BUILD / "demo/patches/fix_total.klp")
STREAMS = {"log", "history"}  # reading at the end waits; graft knows and takes what is there

tests = Tests()
guest = Guest("demo.elf")


def section(title):
    """The rows of the first table under a heading that has the columns file and mode."""
    text = PAGE.split(f"\n{title}\n", 1)[1].split("\n## ", 1)[0]
    table = text.split("| --- |", 1)[1]
    rows = []
    for line in table.splitlines()[1:]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows += [(name.rstrip("/"), cells[1], name.endswith("/")) for name in re.findall(r"`([^`]+)`", cells[0])]
    return rows


def check_files(folder, title):
    rows = section(title)
    check(len(rows) > 5, f"{title}: too few files in the page: {rows}")
    there = {name.rstrip("/") for name in guest.graft("ls", folder).output.split()}
    check(there == {name for name, _, _ in rows}, f"{folder}: the page and the tree differ: {there ^ {row[0] for row in rows}}")
    for name, mode, is_folder in rows:
        path = f"{folder.rstrip('/')}/{name}"
        if is_folder:
            guest.graft("cat", path, code=REFUSED)
            guest.graft("ls", path)
            continue
        result = guest.graft("cat", path, code=0 if "r" in mode else REFUSED)
        check("r" in mode or "read" in result.errors, f"{path}: {result}")
        result = guest.graft("write", path, "nonsense", code=REFUSED) if name != "plan" else None
        words = "can't be written" if "w" not in mode else "nonsense"
        check(not result or words in result.errors, f"{path}: expected '{words}': {result}")


@tests.add("the root")
def _():
    check_files("/", "## Root")


@tests.add("the folder of a patch")
def _():
    guest.graft("load", PATCH)
    check_files("/livepatch/fix-total", "### livepatch/\\<patch\\>/")
    check(guest.patches() == {"fix-total": "enabled"}, str(guest.patches()))


@tests.add("the version is the host command's, the compiler's, and the image's build-id")
def _():
    name, build_id, compiler = guest.graft("cat", "/version").output.splitlines()
    check(name == guest.graft("--version").output.strip() and re.fullmatch(r"graft \d+(\.\d+)+", name), name)
    check(re.fullmatch("build-id [0-9a-f]{40}", build_id), build_id)
    check(re.fullmatch(r"compiler gcc .+", compiler), compiler)


@tests.add("what isn't there is said with its name")
def _():
    for path in ("/nothing", "/livepatch/nobody", "/livepatch/nobody/enabled", "/tasks/999999/name", "/version/below"):
        result = guest.graft("cat", path, code=REFUSED)
        check(path.split("/")[1] in result.errors, str(result))


with guest:
    tests.run()
