#!/usr/bin/env python3
"""A second implementation of sealing, written from docs/FORMAT.md in another language and with another AES (the openssl
program), so that a misreading shared by code and tests would have to happen twice. Prints sfv1-reference.json:

    python3 reference.py > sfv1-reference.json
"""
import hashlib
import hmac
import json
import struct
import subprocess

S_LOG2 = 16
S = 1 << S_LOG2
INPUTS = {
    "m_enc": "f0" * 32,
    "m_sig": "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "fid": "018f0000111172228333444455556666",
    "aid": "018f0000111172228333444455557777",
    "ev": 2**32 - 1,
    "sv": 1,
    "kek": 0,
    "segl2": S_LOG2,
    "flags": 0,
    "ne": hashlib.sha256(b"enc").hexdigest(),
    "ns": hashlib.sha256(b"sig").hexdigest(),
    "ctx": b"tenant=7;year=2031".hex(),
    "ts": 2**41 + 12345,
    "dom": "018f00000000700080000000000000aa",
}


def prf(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def label(text):
    return text.encode().ljust(16, b"\0")


def pattern(length):
    return bytes((7 * i + (i >> 8)) & 255 for i in range(length))


def aes_ctr(key, iv, data):
    name = {16: "-aes-128-ctr", 32: "-aes-256-ctr"}[len(key)]
    command = ["openssl", "enc", name, "-K", key.hex(), "-iv", iv.hex()]
    return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


def derive(v, raw):
    """DK, KEY, IV, K_sig."""
    mock = v.get("mock_hsm_enc_output")
    enc = (lambda message: bytes.fromhex(mock)) if mock else (lambda message: prf(raw["m_enc"], message))
    if v["suite"] == 1:
        dk = enc(raw["ne"])
        return dk, dk[16:32], dk[0:16], prf(raw["m_sig"], raw["ns"])

    def message(counter, name, version, nonce, bits):
        context = struct.pack(">H", 2) + raw["fid"] + raw["aid"] + struct.pack(">I", version) + raw["dom"] + nonce
        return struct.pack(">I", counter) + name + b"\0" + context + struct.pack(">I", bits)

    blocks = [enc(message(i, b"SFV1/S2/ENC", v["ev"], raw["ne"], 384)) for i in (1, 2)]
    dk = b"".join(blocks)[:48]
    return dk, dk[:32], dk[32:], prf(raw["m_sig"], message(1, b"SFV1/S2/SIG", v["sv"], raw["ns"], 256))


def seal(vector):
    v = {**INPUTS, **vector}
    raw = {k: bytes.fromhex(v[k]) for k in ("m_enc", "m_sig", "fid", "aid", "ne", "ns", "ctx", "dom")}
    dk, key, iv, k_sig = derive(v, raw)
    h = bytes.fromhex("89534656310d0a1a")
    h += struct.pack(">HHI", 1, v["suite"], 320) + raw["fid"] + raw["aid"]
    h += struct.pack(">IIIBBH", v["ev"], v["sv"], v["kek"], v["segl2"], v["flags"], 0)
    h += raw["ne"] + raw["ns"] + prf(k_sig, label("SFV1/context") + raw["ctx"])
    h += struct.pack(">Q", v["ts"]) + raw["dom"] + struct.pack(">I", 0) + bytes(68)
    assert len(h) == 256
    kc = prf(k_sig, label("SFV1/key-commit") + h + dk)
    htag = prf(k_sig, label("SFV1/header") + h + kc)
    wire = h[:0x40] + bytes(64) + h[0x80:] if v["flags"] & 1 else h

    plaintext = pattern(v["pt_len"])
    ciphertext = aes_ctr(key, iv, plaintext)
    n = max(1, -(-len(plaintext) // S))
    body, tags = b"", []
    for i in range(n):
        c = ciphertext[i * S : (i + 1) * S]
        prefix = label("SFV1/segment") + htag + struct.pack(">QIB", i, len(c), i == n - 1) + bytes(3)
        tags.append(prf(k_sig, prefix + c))
        body += c + tags[-1]
    digest = hashlib.sha256(b"".join(tags)).digest()
    end = b"SFV1END\n" + struct.pack(">QQQ", len(plaintext), n, 0) + digest
    fmac = prf(k_sig, label("SFV1/final") + htag + end)
    sealed = wire + kc + htag + body + end + fmac
    return {
        **vector,
        "dk": dk.hex(),
        "aes_key": key.hex(),
        "iv": iv.hex(),
        "k_sig": k_sig.hex(),
        "kc": kc.hex(),
        "htag": htag.hex(),
        "first_tag": tags[0].hex(),
        "tags_digest": digest.hex(),
        "fmac": fmac.hex(),
        "n": n,
        "object_len": len(sealed),
        "object_sha256": hashlib.sha256(sealed).hexdigest(),
    }


def vectors():
    for suite in (1, 2):
        for length in (0, 1, 15, 16, 17, S - 1, S, S + 1, 2 * S, 2 * S + 1):
            yield {"name": f"s{suite}-len{length}", "suite": suite}, length
        detached = {"suite": suite, "flags": 1, "kek": 4}
        yield {"name": f"s{suite}-detached", **detached}, 100
        yield {"name": f"s{suite}-no-context", "suite": suite, "ctx": ""}, 100
        yield {"name": f"s{suite}-longest-context", "suite": suite, "ctx": "c3" * 1024}, 100
    for name, iv in (
        ("all", "ff" * 16),
        ("within-first-segment", "ff" * 15 + "f0"),
        ("at-second-segment", "ff" * 14 + "f000"),
        ("low-32-bits", "00" * 12 + "fffffff0"),
        ("low-64-bits", "12" * 8 + "ff" * 8),
    ):
        mock = {"mock_hsm_enc_output": iv + "5c" * 16}
        yield {"name": f"s1-iv-wraps-{name}", "suite": 1, **mock}, 2 * S + 33
    # In suite 2 the same 32 bytes answer both calls, so the IV is the first half of them.
    yield {"name": "s2-iv-wraps", "suite": 2, "mock_hsm_enc_output": "ff" * 16 + "3d" * 16}, 2 * S + 33


if __name__ == "__main__":
    made = [seal({**vector, "pt_len": length, "pt": "pat"}) for vector, length in vectors()]
    note = "Known answers from reference.py, a second implementation. See README.md beside this file."
    print(json.dumps({"note": note, "inputs": INPUTS, "vectors": made}, indent=1))
