"""A private CA and the certificates that tests of TLS need, made with openssl."""
import subprocess


class Authority:
    def __init__(self, folder, name="Test CA"):
        self.folder, self.name = folder, name
        self.certificate, self.key = folder / f"{name}.pem", folder / f"{name}.key"
        self._new("-x509", "-subj", f"/CN={name}", "-out", self.certificate, key=self.key)

    @staticmethod
    def _new(*words, key):
        subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                        *words], check=True, capture_output=True)

    def issue(self, name, subject="IP:127.0.0.1", days=2):
        """A certificate of this authority: (certificate file, key file). One of -1 days has expired."""
        request, certificate, key = (self.folder / f"{name}.{end}" for end in ("csr", "pem", "key"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={subject}\n")
        self._new("-subj", f"/CN={name}", "-out", request, key=key)
        subprocess.run(["openssl", "x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key,
                        "-CAcreateserial", "-days", str(days), "-extfile", extensions, "-out", certificate],
                       check=True, capture_output=True)
        return certificate, key

    def self_signed(self, name):
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        self._new("-x509", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, key=key)
        return certificate, key
