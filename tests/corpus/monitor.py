"""QEMU's own monitor, to read a guest's memory without the guest's help."""
import re
import socket


class Monitor:
    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        self.socket.connect(str(path))
        self._answer()

    @staticmethod
    def arguments(path):
        return ("-monitor", f"unix:{path},server=on,wait=off")

    def _answer(self):
        text = b""
        while not text.endswith(b"(qemu) "):
            more = self.socket.recv(65536)
            if not more:
                raise OSError("QEMU's monitor is gone")
            text += more
        return text.decode(errors="replace")

    def word(self, address):
        self.socket.sendall(f"x /1gx {address:#x}\n".encode())
        return int(re.search(r"[0-9a-f]{8,}: 0x([0-9a-f]{16})", self._answer())[1], 16)

    def close(self):
        self.socket.close()
