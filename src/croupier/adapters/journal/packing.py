"""How a row is kept in few bytes: its hash as it is, its body deflated. Nothing of the body is lost. Pure.

Bodies are short and much alike, so they are deflated against a dictionary of what stands in most of them. What the
chain covers is the body, not how it is packed: another zlib may pack it otherwise and reads it all the same.
"""

from __future__ import annotations

import zlib

HASH_BYTES = 32
LARGEST_BODY = 64 * 1024 * 1024
"""Bytes. Beyond it a packed body is not unpacked: a few kilobytes that were tampered with could fill the memory."""

_RAW_DEFLATE = -15
_LEVEL = 6
"""Level 9 takes five times the time and saves nothing on bodies as short as these."""

DICTIONARY = "".join(
    (
        # What is rare stands first. Never change a byte of it: journals are read with it.
        '{"code":"promoted","outcome":"promoted","reason":"","who":"","restarts":{"sha256:":0},"command":"abort","l',
        'iveRuns":[],"message":"","port":"metrics","code":"worse","code":"aborted","reason":" did not pass within "',
        'code":"slo-breach","message":" serves everybody"}{"code":"rolled-back","outcome":"rolled-back","reason":"{',
        '"code":"baked","evidence":{"samples":,"sha256":"","players":,"reason":"the bake is over","share":1,"step":',
        '5}{"canary":"","forecast":{"decidable":true,"faults":[{"badEvents":3.7,"fault":"3 % more of deposits are l',
        'ost","seconds":120,"signal":"deposits"},{"badEvents":6,"fault":"2 % of requests fail","seconds":60,"signal',
        '":"errors"},{"badEvents":7.5,"fault":"10 % of requests fail","seconds":15,"signal":"errors"},{"badEvents":',
        '7.6,"fault":"10 % more requests are slower than 0.25 s","seconds":15,"signal":"latency"}],"options":[],"pr',
        'oblems":[],"seconds":,"steps":[{"name":"5 %","seconds":300,"waitsFor":"deposits","weight":5},{"name":"10 %',
        '","seconds":135,"waitsFor":"dwell","weight":10},{"name":"25 %","seconds":,"waitsFor":"dwell","weight":25},',
        '{"name":"50 %","seconds":,"waitsFor":"dwell","weight":50},{"name":"100 %","seconds":60,"waitsFor":"bake","',
        'weight":100}]},"plan":{"canary":"sha256:","dispersion":{"deposits":1.05,"errors":1.05,"latency:0.25":1.05,',
        '"latency:0.4":1.05},"drainSeconds":5,"release":{"bakeSeconds":60,"deadlineSeconds":900,"digest":"sha256:",',
        '"dwellSeconds":120,"holdBackPercent":null,"maxSurge":1,"maxUnavailable":0,"policy":{"alpha":0.01,"beta":0.',
        '0125,"gates":[{"importance":3,"margin":{"points":2,"ratio":null},"objectiveRatio":null,"role":"required","',
        'signal":"deposits"},{"importance":1,"margin":{"points":1,"ratio":null},"objectiveRatio":null,"role":"requi',
        'red","signal":"errors"},{"importance":1,"margin":{"points":null,"ratio":2},"objectiveRatio":null,"role":"v',
        'eto","signal":"latency"}],"latencyEdges":[0.25,0.4],"warmupSeconds":0},"readySeconds":60,"scrapeSeconds":5',
        ',"service":"","steps":[5,10,25,50,100],"strategy":"canary"},"run":"r-0","service":"","stable":"sha256:","s',
        'teps":[{"actions":[{"digest":"sha256:","kind":"ensure-version","replicas":2,"service":""}],"hold":{"atDead',
        'line":"back","deadlineSeconds":60,"dwellSeconds":0,"gates":false},"name":"prepare","settleSeconds":60,"set',
        'tled":[{"digest":"sha256:","kind":"replicas-ready","replicas":2,"service":""}],"wayBack":[{"digest":"sha25',
        '6:","kind":"retire","service":""}],"weight":0},{"actions":[{"digest":"sha256:","kind":"ensure-version","re',
        'plicas":2,"service":""},{"canary":"sha256:","kind":"set-split","offset":0,"revision":1,"service":"","stabl',
        'e":"sha256:","stablePods":null,"weight":5}],"hold":{"atDeadline":"hold","deadlineSeconds":900,"dwellSecond',
        's":120,"gates":true},"name":"5 %","settleSeconds":90,"settled":[{"digest":"sha256:","kind":"replicas-ready',
        '","replicas":2,"service":""},{"canary":"sha256:","kind":"split-confirmed","revision":1,"service":"","weigh',
        't":5}],"wayBack":[{"digest":"sha256:","kind":"ensure-version","replicas":2,"service":""},{"canary":"sha256',
        ':","kind":"set-split","offset":0,"revision":6,"service":"","stable":"sha256:","stablePods":null,"weight":0',
        '},{"digest":"sha256:","kind":"settle","service":""},{"digest":"sha256:","kind":"retire","service":""}],"we',
        'ight":100}],"tier":"money"},"stable":""}{"evidence":{"samples":1,"sha256":"","verdict":{"against":-0.0378,',
        '"againstBar":2,"code":"no-data","gates":[{"against":-0.0458,"againstBar":2.301,"canary":{"bad":0,"total":0',
        '},"code":"no-data","dispersion":1.05,"favour":0,"favourBar":1.9031,"gate":"deposits","message":"failed dep',
        "osits: canary 0 of 0 players (0.00 %), stable 0 of 0 (0.00 %); no fresh complete scrape of both arms, so n",
        'othing can be said","needsSeconds":null,"outcome":"fail","role":"required","stable":{"bad":0,"total":0},"u',
        'nit":"requests"},{"against":-0.,"againstBar":2.7782,"canary":{"bad":0.,"total":},"code":"not-telling","dis',
        'persion":1.05,"favour":0,"favourBar":1.9031,"gate":"latency","message":"latency:0.25: canary 0 of players ',
        '(0.10 %), stable 0 of  (0.10 %); stable too rarely (or nearly always) exceeds these edges to compare","nee',
        'dsSeconds":null,"outcome":"inconclusive","role":"veto","stable":{"bad":0.,"total":},"unit":"players"},{"ag',
        'ainst":-0.,"againstBar":2.7782,"canary":{"bad":0.,"total":},"code":"needs-time","dispersion":1.05,"favour"',
        ':0.,"favourBar":1.9031,"gate":"errors","message":"errors: canary 0 of players (0.10 %), stable 0 of  (0.10',
        ' %); about  s more","needsSeconds":null,"outcome":"inconclusive","role":"required","stable":{"bad":0.,"tot',
        'al":},"unit":"players"}],"needsSeconds":null,"outcome":"pass","reason":"failed deposits: canary 0 of  play',
        'ers (0.10 %), stable 0 of  (0.10 %); about  s more"},"weight":5}{"code":"gates","evidence":{"samples":,"sh',
        'a256":"","players":,"reason":"deposits, errors: no worse than the margin allows","share":0.,"step":1}{"nam',
        'e":"10 %","step":2,"weight":10}{"actions":[{"digest":"sha256:","kind":"settle","service":""}]}{"actions":[',
        '{"digest":"sha256:","kind":"retire","service":""}]}{"actions":[{"digest":"sha256:","kind":"ensure-version"',
        ',"replicas":2,"service":""}]}{"actions":[{"canary":"sha256:","kind":"set-split","offset":0,"revision":2,"s',
        'ervice":"","stable":"sha256:","stablePods":null,"weight":10}]}',
    )
).encode("ascii")


def pack(hash: str, body: bytes) -> bytes:
    """``hash``: 64 hex digits."""
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW_DEFLATE, zdict=DICTIONARY)
    return bytes.fromhex(hash) + deflate.compress(body) + deflate.flush()


def unpack(packed: bytes) -> tuple[str, bytes]:
    """Hash and body. Raises ``ValueError`` for what ``pack`` did not make."""
    inflate = zlib.decompressobj(_RAW_DEFLATE, zdict=DICTIONARY)
    try:
        body = inflate.decompress(packed[HASH_BYTES:], LARGEST_BODY)
    except zlib.error as error:
        raise ValueError(f"its body cannot be unpacked ({error})") from error
    if not inflate.eof or inflate.unused_data:
        raise ValueError("its body cannot be unpacked (it ends elsewhere)")
    return packed[:HASH_BYTES].hex(), body
