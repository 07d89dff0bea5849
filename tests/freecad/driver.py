"""Runs inside FreeCAD: executes what a test sends, in the GUI thread, and answers.

FreeCAD is started with this file. SILO_TEST_SOCKET names the Unix socket on which it listens.
"""

import contextlib
import json
import os
import socket
import traceback

import FreeCAD
import FreeCADGui
from PySide import QtCore, QtGui

STEP_MS = 10


class Driver:
    """Looks at its socket several times a second; each line is code, each answer one line of JSON."""

    def __init__(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(os.environ["SILO_TEST_SOCKET"])
        self.listener.listen()
        self.listener.setblocking(False)
        self.client = None
        self.text = b""
        self.names = {"App": FreeCAD, "Gui": FreeCADGui, "QtCore": QtCore, "QtGui": QtGui}
        self.timer = QtCore.QTimer()
        self.timer.timeout.connect(self.look)
        self.timer.start(STEP_MS)

    def look(self):
        """Execute what has come."""
        if self.client is None:
            with contextlib.suppress(BlockingIOError):
                self.client, _ = self.listener.accept()
                self.client.setblocking(False)
            return
        with contextlib.suppress(BlockingIOError):
            got = self.client.recv(1 << 20)
            if not got:
                self.client = None
                return
            self.text += got
        while b"\n" in self.text:
            line, _, self.text = self.text.partition(b"\n")
            answer = json.dumps(self.execute(json.loads(line)))
            self.client.setblocking(True)
            self.client.sendall(answer.encode() + b"\n")
            self.client.setblocking(False)

    def execute(self, code):
        """Execute code; its variable `answer` is the answer."""
        self.names["answer"] = None
        try:
            exec(code, self.names)
            json.dumps(self.names["answer"])
        except Exception:
            return {"error": traceback.format_exc()}
        return {"answer": self.names["answer"]}


# A timer that nothing names is collected.
FreeCAD.silo_test_driver = Driver()
