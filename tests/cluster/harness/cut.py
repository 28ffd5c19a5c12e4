"""A way to a server that can be cut, for one program alone."""
import socket
import threading


class Way:
    """Listens at `address` ("HOST:PORT"), and passes on what comes to another port, as long as it is not cut."""

    def __init__(self, host, port):
        self._to = (host, port)
        self._is_cut = False
        self._open = []
        self._listener = socket.create_server((host, 0))
        self.address = "{}:{}".format(*self._listener.getsockname())
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._is_cut:
                self._open.append(near)  # connected, and never answered
                continue
            try:
                far = socket.create_connection(self._to, 5)
                far.settimeout(None)
            except OSError:
                near.close()
                continue
            self._open += [near, far]
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source, target):
        try:
            while data := source.recv(1 << 16):
                if not self._is_cut:
                    target.sendall(data)
        except OSError:
            pass
        finally:
            for end in (source, target):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def cut(self):
        """What is sent is lost from now on."""
        self._is_cut = True

    def mend(self):
        self._is_cut = False
        for end in self._open:
            end.close()
        self._open.clear()

    def close(self):
        self._listener.close()
        self.mend()
