"""A server as a child process, and requests to it. Standard library only."""
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time


class Server:
    """A program that answers GET `health` once it is ready."""
    next_port = 21000 + os.getpid() % 4000

    def __init__(self, command, health):
        Server.next_port += 1
        self.command = command
        self.port = Server.next_port
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([*command, "--port", str(self.port)], stdout=self.log, stderr=self.log)
        while True:
            try:
                if self.call("GET", health)[0] == 200:
                    return
            except (ConnectionError, http.client.HTTPException):
                pass
            if self.process.poll() is not None:
                self.log.seek(0)
                sys.exit(f"{command[0]} did not start:\n{self.log.read().decode(errors='replace')[-2000:]}")
            time.sleep(0.05)

    def open(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=1200)
        connection.request(method, path, json.dumps(body) if body is not None else None,
                           {"Content-Type": "application/json"})
        return connection, connection.getresponse()

    def call(self, method, path, body=None):
        connection, response = self.open(method, path, body)
        text = response.read()
        connection.close()
        return response.status, text

    def events(self, path, body):
        """Seconds since the request and (event, data) of each server-sent event."""
        start = time.perf_counter()
        connection, response = self.open("POST", path, body)
        if response.status != 200:
            sys.exit(f"{path}: {response.status} {response.read().decode(errors='replace')[:500]}")
        name = ""
        for line in response:
            line = line.decode().rstrip("\r\n")
            if line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                yield time.perf_counter() - start, name, line[5:].strip()
        connection.close()

    def stop(self):
        self.process.terminate()
        self.process.wait()


def machine():
    with open("/proc/cpuinfo") as f:
        return re.search(r"model name\s*:\s*(.*)", f.read()).group(1) + f", {os.cpu_count()} CPUs"


def commit():
    return subprocess.run(["git", "-C", os.path.dirname(os.path.abspath(__file__)), "describe", "--always", "--dirty"],
                          stdout=subprocess.PIPE, text=True).stdout.strip()


def data_folder(path, models):
    """A new data folder with the models of another."""
    os.makedirs(path)
    os.symlink(os.path.join(models, "models"), os.path.join(path, "models"))
    return path
