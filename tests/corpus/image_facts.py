"""What the finished image shows about its functions, read with binutils alone: the second opinion on what Graft's own
tools say. Nothing here looks at Graft's tables, metadata or tools."""
import re
import struct
import subprocess
from dataclasses import dataclass, field

NOP = bytes.fromhex("0f1f440000")
SYMBOL = re.compile(r"^([0-9a-f]{16}) ([0-9a-f]{16}) ([tTwW]) (\S+)(?:\t(.*):(\d+))?$")
CODE = re.compile(r"^([0-9a-f]{16}):\t(\S+)\s*(.*)$")
ADDRESS = re.compile(r"(?:0x)?(ffffffff[0-9a-f]{8})")


@dataclass
class Function:
    address: int
    size: int
    names: list
    places: list = field(default_factory=list)  # (file, line) of each name
    readable: str = ""
    returns: bool = False
    has_site: bool = False
    is_gone: bool = False  # in .init.text, whose memory is given back when the image has booted
    referrers: set = field(default_factory=set)  # entries of functions whose code names it, in a call or otherwise
    called_only: bool = True                     # never named but by a direct call or jump
    in_data: bool = False                        # a word of data is its address
    in_constructors: bool = False


def run(*command, text=""):
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True).stdout


def read_symbols(image):
    """By entry. The place is the one of the definition, as the debug information has it for the symbol."""
    functions = {}
    for line in run("nm", "-S", "-l", "--defined-only", str(image)).splitlines():
        match = SYMBOL.match(line)
        if not match or int(match[2], 16) == 0:
            continue
        address = int(match[1], 16)
        function = functions.setdefault(address, Function(address, int(match[2], 16), []))
        function.names.append(match[4])
        function.places.append((re.sub(r"^(\./)+", "", match[5] or ""), int(match[6] or 0)))
    return functions


def read_readable_names(functions):
    text = "".join(function.names[0] + "\n" for function in functions.values())
    for function, readable in zip(functions.values(), run("c++filt", text=text).splitlines(), strict=True):
        function.readable = readable


def sections(image):
    """{name: (address, bytes)} of what is loaded."""
    data = image.read_bytes()
    table, = struct.unpack_from("<Q", data, 0x28)
    entry, count, names = struct.unpack_from("<HHH", data, 0x3a)
    rows = [struct.unpack_from("<IIQQQQ", data, table + index * entry) for index in range(count)]
    strings = rows[names][4]
    found = {}
    for name, kind, flags, address, offset, size in rows:
        text = data[strings + name:data.index(b"\0", strings + name)].decode()
        if flags & 2 and kind == 1:
            found[text] = (address, data[offset:offset + size])
    return found


def read_data(image, functions):
    loaded = sections(image)
    address, text = loaded[".text"]
    init, init_text = loaded[".init.text"]
    for function in functions.values():
        function.is_gone = 0 <= function.address - init < len(init_text)
        offset = function.address - address
        function.has_site = 0 <= offset and text[offset:offset + 5] == NOP
    for name in (".rodata", ".data", ".init_array"):
        if name not in loaded:
            continue
        _, data = loaded[name]
        for word, in struct.iter_unpack("<Q", data[:len(data) // 8 * 8]):
            if word in functions:
                if name == ".init_array":
                    functions[word].in_constructors = True
                else:
                    functions[word].in_data = True


def read_code(image, functions):
    entries = sorted(functions)
    current, index = None, -1
    for line in run("objdump", "-d", "-w", "--no-show-raw-insn", "-j", ".init.text", "-j", ".text", str(image)).splitlines():
        match = CODE.match(line.strip())
        if not match:
            continue
        address = int(match[1], 16)
        while index + 1 < len(entries) and entries[index + 1] <= address:
            index += 1
        current = functions[entries[index]] if index >= 0 else None
        if current is None or address >= current.address + current.size:
            continue
        operation, operands = match[2], match[3]
        current.returns |= operation.startswith("ret")
        for target in ADDRESS.findall(operands):
            named = functions.get(int(target, 16))
            if named is None or named is current:
                continue
            named.referrers.add(current.address)
            if not (operation.startswith("call") or operation.startswith("j")):
                named.called_only = False


def read_functions(image):
    functions = read_symbols(image)
    read_readable_names(functions)
    read_data(image, functions)
    read_code(image, functions)
    return functions


def boot_only(functions):
    """Entries of what can run only before the application's first task is on its way: code of boot/ and constructors,
    and what nobody but those calls, in the end. Whose address is taken may be called by anybody at any time."""
    found = set(functions)
    while True:
        gone = {entry for entry in found if not is_boot_only(functions[entry], found)}
        if not gone:
            return found
        found -= gone


def is_boot_only(function, found):
    if function.is_gone or function.in_constructors or function.places[0][0].startswith("boot/"):
        return True
    if function.in_data or not function.called_only or not function.referrers:
        return False
    return all(entry in found for entry in function.referrers)
