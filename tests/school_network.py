"""Le réseau d'une école, sur 127.0.0.1 : un index, un proxy, un filtre ou un portail qui se conduisent mal."""

import contextlib
import socket
import socketserver
import ssl
import subprocess
import threading
import time

PORTAL = b"<!DOCTYPE html><html><body><a href='/login'>Identifiez-vous</a></body></html>"
LINK = (
    "<!DOCTYPE html><html><body><a href='/f/torch-{0}-py3-none-any.whl{1}'>torch-{0}-py3-none-any.whl</a></body></html>"
)


def unknown_certificate(folder):
    """Un contexte TLS dont personne ne connaît le certificat."""
    files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    names = ["-subj", "/CN=filtre", "-addext", "subjectAltName=DNS:localhost,DNS:*.org,IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *files, *names]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


class Handler(socketserver.StreamRequestHandler):
    """Une réponse, d'après ce que vaut `server.mode` : un code HTTP, ou le nom d'une panne."""

    def handle(self):
        with contextlib.suppress(OSError):
            self.answer(self.request)

    def answer(self, link):
        mode, request = self.server.mode, link.recv(65536).decode("latin-1").split()
        tunnel, path = request[:1] == ["CONNECT"], (request + ["", ""])[1]
        if mode == "reset":  # un RST au lieu d'une fin
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            link.close()
        elif mode == "stall":
            time.sleep(30)
        elif tunnel and mode in ("intercept", "plain"):
            link.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            if mode == "intercept":
                return self.answer(self.server.context.wrap_socket(link, server_side=True))
            link.recv(65536)
            self.say(link, "200 OK")
        elif mode == "redirect":
            self.say(link, "200 OK" if path == "/login" else "302 Found\r\nLocation: /login")
        elif mode in ("cut", "hash", "page", "old"):
            self.package(link, mode, path)
        else:
            self.say(link, mode if mode[0].isdigit() else "200 OK")
        return None

    def package(self, link, mode, path):
        """Un index qui propose torch, et ce qu'il en donne."""
        version, sha = "1.0" if mode == "old" else "2.13.0", "#sha256=" + "0" * 64 if mode == "hash" else ""
        if path.endswith(".whl"):
            self.say(link, "200 OK", b"PK" * 50 if mode != "page" else PORTAL, 9000 if mode == "cut" else None)
        else:
            self.say(link, "200 OK", LINK.format(version, sha).encode())

    def say(self, link, status, body=PORTAL, length=None):
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/html\r\nContent-Length: {length or len(body)}\r\n"
        link.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)


class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Un client qui raccroche n'est pas une erreur."""


@contextlib.contextmanager
def school(mode, context=None, tls=False):
    """Un serveur en panne ; rend son port."""
    with Server(("127.0.0.1", 0), Handler) as server:
        server.mode, server.context = mode, context
        if tls:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
